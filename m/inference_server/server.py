"""`InferenceServer`: forecasts of a model that torch computes."""

from __future__ import annotations

from pathlib import Path

import torch

from m.device import choose_device
from m.generation.engine import Engine
from m.generation.job import Job
from m.generation.prefix import PrefixCache
from m.generation.worker import EngineWorker
from m.inference_server.forecast_server import ForecastServer, ServedModel, session_store
from m.inference_server.limits import Limits
from m.inference_server.wish import ForecastWish
from m.moe.derived import model_size
from m.moe.model import MoESequenceRegressor
from m.release import load

_PLATFORM = "pytorch_m"


class InferenceServer(ForecastServer):
    """Serves the forecasts of one model; equal to those of its `forecast` within rounding.

    Requests may come from any event loop. The model computes in a thread of its own, and requests that
    overlap share its steps (see `m.generation`). Close it, or use it as a context manager.

    Args:
        model_path: what `m.load` takes: a checkpoint, a run's or a release's folder, a registered name.
        device: ``auto`` (CUDA when there is one), or what `torch.device` takes.
        model: already loaded, instead of ``model_path``; it belongs to the server from now on.
        name: what clients call the model; by default from the path.
        limits: how much a client may ask for.
        most_rows: paths that share a step; 1 serves one request after the other.

    Raises:
        CheckpointError: no model there.
        ValueError: both or neither of path and model, or no such device here.
    """

    def __init__(
        self,
        model_path: str | Path | None = None,
        device: str = "auto",
        *,
        model: MoESequenceRegressor | None = None,
        name: str | None = None,
        limits: Limits | None = None,
        most_rows: int = 256,
    ) -> None:
        limits = limits or Limits()
        self.model = _placed(model_path, model, choose_device(device))
        engine = Engine(
            self.model,
            most_rows=most_rows,
            prefixes=PrefixCache(limits.prefix_bytes) if limits.prefix_bytes else None,
            sessions=session_store(limits),
        )
        size = model_size(self.model.config)
        super().__init__(
            EngineWorker(engine, most_waiting=limits.waiting),
            ServedModel(
                self.model.config,
                str(self.model.device),
                size.total_parameters,
                size.active_parameters,
                _PLATFORM,
            ),
            name=name or (model_name(model_path) if model_path is not None else "model"),
            limits=limits,
        )

    def read(self, wish: ForecastWish) -> Job:
        """A job for the engine.

        Raises:
            ValueError: what is asked for is malformed, or the model cannot do it.
        """
        return Job.read(self.model, wish.context, wish.horizon, **wish.options())


def _placed(
    path: str | Path | None, model: MoESequenceRegressor | None, device: torch.device
) -> MoESequenceRegressor:
    """The model that was given, or that lies at the path, on a device and in eval mode."""
    if path is not None and model is None:
        return load(path, device=device).eval()
    if model is not None and path is None:
        return model.to(device).eval()
    raise ValueError("give either model_path or model")


def model_name(path: str | Path) -> str:
    """What a model at a path is called: its folder's name, or that of a lone file."""
    found = Path(path)
    if found.suffix and found.stem in ("best_model", "final_model", "model") and found.resolve().parent.name:
        return found.resolve().parent.name
    return found.stem if found.suffix else found.name or found.resolve().name
