"""Writing a model in the formats that it can be shipped in."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.fx.experimental import _config as _symbolic_shapes

from m.checkpoint.atomic import atomic_path
from m.export.graph import INPUTS, OUTPUTS, ForecastGraph
from m.moe.derived import model_size
from m.moe.model import MoESequenceRegressor
from m.runtime.manifest import Manifest

ONNX_FILE = "model.onnx"
PROGRAM_FILE = "model.pt2"


class ExportError(RuntimeError):
    """A model could not be written in a format; the message says why and what to do."""


def export_model(model: MoESequenceRegressor, kind: str, folder: Path) -> Manifest:
    """Write a model's graph.

    Args:
        model: to write; float32.
        kind: one of `FORMATS`.
        folder: exists; gets the graph, and ``exported.json`` beside it.

    Returns:
        What was written.

    Raises:
        ValueError: no such format, or the model cannot forecast.
        ExportError: the format cannot hold this model, or a package that writes it is not installed.
    """
    if kind not in FORMATS:
        raise ValueError(f"no format '{kind}'; there are {', '.join(FORMATS)}")
    graph = ForecastGraph(model)
    file = folder / (PROGRAM_FILE if kind == "pt2" else ONNX_FILE)
    with atomic_path(file) as temporary:
        FORMATS[kind](graph, temporary)
    manifest = describe_graph(graph, kind, file.name)
    manifest.write(folder)
    return manifest


def describe_graph(graph: ForecastGraph, kind: str, file: str) -> Manifest:
    """What must be known of a graph beside itself."""
    model = graph.model
    size, nu = model_size(model.config), model.head.degrees_of_freedom
    return Manifest(
        kind=kind,
        file=file,
        config=model.config,
        parameters=size.total_parameters,
        active_parameters=size.active_parameters,
        least_points=graph.least_points,
        one_token=graph.one_token,
        step_correlation=model.head.step_correlation.item(),
        degrees_of_freedom=None if nu is None else nu.item(),
    )


def _write_program(graph: ForecastGraph, file: Path) -> None:
    # By an open file: torch wants the name to end in .pt2, a temporary one does not.
    with file.open("wb") as out:
        torch.export.save(_traced(graph), out)


def _write_onnx(graph: ForecastGraph, file: Path) -> None:
    _needs("onnxscript", "onnxruntime")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.onnx"
        with _quiet():
            program = torch.onnx.export(
                _traced(graph), dynamo=True, input_names=INPUTS, output_names=OUTPUTS, verbose=False
            )
        if program is None:
            raise ExportError("torch.onnx gave no program")
        program.save(raw)
        _fold(raw, file)


def _write_int8(graph: ForecastGraph, file: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        _write_onnx(graph, plain)
        with _quiet():
            quantize_dynamic(
                plain,
                file,
                op_types_to_quantize=["MatMul", "Gemm"],
                nodes_to_exclude=_kept_exact(plain),
                per_channel=True,
                weight_type=QuantType.QInt8,
            )


def _write_bf16(graph: ForecastGraph, file: Path) -> None:
    """Matrices stored in bfloat16 and widened when the graph is loaded: half the size, the speed of fp32."""
    import ml_dtypes  # noqa: PLC0415  (comes with onnx)
    import onnx  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        _write_onnx(graph, plain)
        model = onnx.load(plain)
    held, casts = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            held.append(tensor)
            continue
        narrow = onnx.numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16)
        stored = onnx.helper.make_tensor(
            f"{tensor.name}.bf16", onnx.TensorProto.BFLOAT16, tensor.dims, narrow.tobytes(), raw=True
        )
        held.append(stored)
        casts.append(onnx.helper.make_node("Cast", [stored.name], [tensor.name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(held)
    model.graph.node.extend(nodes)
    onnx.save(model, file)


FORMATS: dict[str, Callable[[ForecastGraph, Path], None]] = {
    "onnx": _write_onnx,
    "int8": _write_int8,
    "bf16": _write_bf16,
    "pt2": _write_program,
}


def _traced(graph: ForecastGraph) -> torch.export.ExportedProgram:
    """The graph for any batch and any number of points."""
    dynamic = torch.export.Dim.DYNAMIC
    shapes: dict[str, Any] = {
        "points": {0: dynamic, 1: dynamic},
        "lengths": {0: dynamic},
        "anchored": {0: dynamic},
    }
    # Else sizes 0 and 1 count as special, and a batch of one would need another graph.
    general = _symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.no_grad(), general, _quiet():
        return torch.export.export(graph, graph.example(), dynamic_shapes=shapes, strict=False)


def _fold(raw: Path, file: Path) -> None:
    """Compute once and for all what does not depend on the input: reshaped weights, for one."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def _kept_exact(file: Path) -> list[str]:
    """Products that int8 would spoil: float64 ones of the anchor, the embedding's of points, the routers'."""
    import onnx  # noqa: PLC0415

    graph = onnx.load(file).graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    kept = []
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm"):
            continue
        held = [weights[name] for name in node.input if name in weights]
        narrow = not held or held[0].data_type != onnx.TensorProto.FLOAT or min(held[0].dims) < 64
        if narrow or any("embedding" in name or "router" in name or "head" in name for name in node.input):
            kept.append(node.name)
    return kept


def _needs(*packages: str) -> None:
    from importlib.util import find_spec  # noqa: PLC0415

    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ExportError(
            f"{', '.join(missing)} not installed, which ONNX needs; install the extra: "
            "pip install 'm-trajectory[onnx]', or choose pt2 or none"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporters' notes on operators of packages that nobody asked for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
