"""What the server and its model are, how they are set up, and what they have done."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import m
from m.inference_server.errors import RequestError
from m.inference_server.forecast_server import ForecastServer
from m.inference_server.host import Host
from m.inference_server.open_inference import signature
from m.inference_server.open_inference.signature import VERSION

EXTENSIONS = (
    "binary_tensor_data",
    "generate",
    "model_configuration",
    "parameters",
    "sequence",
    "statistics",
)
_STATES = {"ready": "READY", "loading": "LOADING"}  # else UNAVAILABLE


def check_known(host: Host, model: str, version: str) -> None:
    """Refuse a model or version that is not served.

    Raises:
        RequestError: 404.
    """
    if model != host.name:
        raise RequestError(
            HTTPStatus.NOT_FOUND, f"there is no model '{model[:64]}'; this server has '{host.name}'"
        )
    if version != VERSION:
        raise RequestError(
            HTTPStatus.NOT_FOUND,
            f"model '{host.name}' has no version '{version[:64]}'; its only version is '{VERSION}'",
        )


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions."""
    return {"name": "m inference server", "version": m.__version__, "extensions": list(EXTENSIONS)}


def model_metadata(server: ForecastServer) -> dict[str, Any]:
    """Inputs and outputs."""
    config = server.config
    return {
        "name": server.name,
        "versions": [VERSION],
        "platform": server.served.platform,
        "inputs": [
            {
                "name": each.name,
                "datatype": each.datatypes[0],
                "shape": list(each.dims),
                "parameters": {"optional": each.optional},
            }
            for each in signature.inputs(config.input_dim).values()
        ],
        "outputs": [
            {"name": each.name, "datatype": "FP64", "shape": list(each.dims)}
            for each in signature.outputs(config.target_dim).values()
        ],
    }


def model_config(server: ForecastServer) -> dict[str, Any]:
    """The model's set-up in Triton's words.

    ``max_batch_size`` is 0, which says that the batch axis is one of the declared ones. No
    ``sequence_batching`` is named, because that would say that every request needs a sequence.
    """
    config = server.config
    return {
        "name": server.name,
        "platform": server.served.platform,
        "backend": server.served.platform.split("_")[0],
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [
            {
                "name": each.name,
                "data_type": f"TYPE_{each.datatypes[0]}",
                "dims": list(each.dims),
                "optional": each.optional,
            }
            for each in signature.inputs(config.input_dim).values()
        ],
        "output": [
            {"name": each.name, "data_type": "TYPE_FP64", "dims": list(each.dims)}
            for each in signature.outputs(config.target_dim).values()
        ],
        "instance_group": [
            {
                "name": server.name,
                "kind": "KIND_GPU" if server.device.startswith("cuda") else "KIND_CPU",
                "count": 1,
            }
        ],
        "model_transaction_policy": {"decoupled": False},
        "parameters": {
            "steps_per_pass": {"string_value": str(config.head.prediction_steps)},
            "device": {"string_value": server.device},
        },
    }


def model_index(host: Host, *, only_ready: bool) -> list[dict[str, str]]:
    """The one model that there is."""
    state = _STATES.get(host.status, "UNAVAILABLE")
    if only_ready and state != "READY":
        return []
    reason = "" if state == "READY" else host.status
    return [{"name": host.name, "version": VERSION, "state": state, "reason": reason}]


def statistics(server: ForecastServer) -> dict[str, Any]:
    """What the model has done, over all faces of the server.

    Times are of forecasts that were made: from arrival to result, and of that in the queue and in the engine.
    What is not measured counts 0 and takes 0, since readers expect its name.
    """
    figures = server.metrics.figures()
    made, refused = int(figures["forecasts"]), sum(figures["refused"].values())
    whole = _nanoseconds(figures["mean_seconds"], made)
    queue = _nanoseconds(figures["mean_queue_seconds"], made)
    return {
        "model_stats": [
            {
                "name": server.name,
                "version": VERSION,
                "inference_count": made,
                "execution_count": int(figures["steps"]),
                "inference_stats": {
                    "success": _duration(made, whole),
                    "fail": _duration(refused, 0),
                    "queue": _duration(made, queue),
                    "compute_input": _duration(0, 0),
                    "compute_infer": _duration(made, max(whole - queue, 0)),
                    "compute_output": _duration(0, 0),
                    "cache_hit": _duration(0, 0),
                    "cache_miss": _duration(0, 0),
                },
                "batch_stats": [],
            }
        ]
    }


def _nanoseconds(mean: float, count: int) -> int:
    return round(1e9 * mean * count)


def _duration(count: int, nanoseconds: int) -> dict[str, int]:
    return {"count": count, "ns": nanoseconds}
