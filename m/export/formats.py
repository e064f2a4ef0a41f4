"""Writing a model in the formats that it can be shipped in."""

from __future__ import annotations

import contextlib
import logging
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.fx.experimental import _config as _symbolic_shapes

from m.checkpoint.atomic import atomic_path
from m.export.cached import make_graph
from m.export.graph import ForecastGraph
from m.moe.derived import model_size
from m.moe.model import MoESequenceRegressor
from m.runtime.manifest import Manifest
from m.runtime.onnx import onnxruntime

ONNX_FILE = "model.onnx"
PROGRAM_FILE = "model.pt2"


_LEAST_SIDE = 64  # of a matrix that is worth storing small
_BLOCK = 16
_LARGEST_INT8 = 127

# Of an initialiser: what is stored instead, and the nodes that make it of that.
Narrow = Callable[[Any], tuple[list[Any], list[Any]]]


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
    graph = make_graph(model)
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
        cached=graph.cached,
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
                _traced(graph),
                dynamo=True,
                input_names=tuple(graph.dynamic_axes()),
                output_names=graph.outputs,
                verbose=False,
            )
        if program is None:
            raise ExportError("torch.onnx gave no program")
        program.save(raw)
        _fold(raw, file)


def _write_bf16(graph: ForecastGraph, file: Path) -> None:
    """Matrices stored in bfloat16."""
    _write_narrow(graph, file, _as_bf16)


def _write_int8(graph: ForecastGraph, file: Path) -> None:
    """Matrices stored in 8 bits, with a scale for every 16 inputs of each output."""
    _write_narrow(graph, file, _as_int8)


def _write_narrow(graph: ForecastGraph, file: Path, narrow: Narrow) -> None:
    """The ONNX graph with its matrices stored small, and widened once when it is loaded.

    Products stay in float32: with 8-bit ones forecasts of the shipped model were a third worse, and no
    faster. What maps points to tokens, and tokens to experts and forecasts, stays as it is: a small part of
    the bytes, a large part of the precision.
    """
    import onnx  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        _write_onnx(graph, plain)
        model = onnx.load(plain)
    held, widening = [], []
    for tensor in model.graph.initializer:
        matrix = tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
        if not matrix or min(tensor.dims) < _LEAST_SIDE or _is_delicate(tensor.name, model.graph):
            held.append(tensor)
            continue
        stored, nodes = narrow(tensor)
        held += stored
        widening += nodes
    nodes = [*widening, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(held)
    model.graph.node.extend(nodes)
    onnx.save(model, file)


def _as_bf16(tensor: Any) -> tuple[list[Any], list[Any]]:
    """Initialisers and nodes that give a matrix of bfloat16."""
    import ml_dtypes  # noqa: PLC0415  (comes with onnx)
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    narrow = numpy_helper.to_array(tensor).astype(ml_dtypes.bfloat16)
    name = f"{tensor.name}.bf16"
    stored = helper.make_tensor(name, TensorProto.BFLOAT16, tensor.dims, narrow.tobytes(), raw=True)
    return [stored], [helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT)]


def _as_int8(tensor: Any) -> tuple[list[Any], list[Any]]:
    """Initialisers and nodes that give a matrix ``[I, O]`` of 8-bit blocks.

    Symmetric, rounded to nearest, each block of inputs of each output scaled by its largest weight.
    """
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

    weight = numpy_helper.to_array(tensor)
    block = math.gcd(len(weight), _BLOCK)
    blocks = weight.reshape(-1, block, weight.shape[1])
    scale = (np.abs(blocks).max(axis=1, keepdims=True) / _LARGEST_INT8).astype(np.float16)
    scale[scale == 0] = 1.0
    whole = np.rint(blocks / scale.astype(np.float32)).clip(-_LARGEST_INT8, _LARGEST_INT8).astype(np.int8)
    parts = {"int8": whole, "scale": scale, "shape": np.array(weight.shape, dtype=np.int64)}
    names = {part: f"{tensor.name}.{part}" for part in parts}
    stored = [numpy_helper.from_array(value, names[part]) for part, value in parts.items()]
    wide, factor, scaled = (f"{tensor.name}.{part}" for part in ("wide", "factor", "scaled"))
    return stored, [
        helper.make_node("Cast", [names["int8"]], [wide], to=TensorProto.FLOAT),
        helper.make_node("Cast", [names["scale"]], [factor], to=TensorProto.FLOAT),
        helper.make_node("Mul", [wide, factor], [scaled]),
        helper.make_node("Reshape", [scaled, names["shape"]], [tensor.name]),
    ]


FORMATS: dict[str, Callable[[ForecastGraph, Path], None]] = {
    "onnx": _write_onnx,
    "int8": _write_int8,
    "bf16": _write_bf16,
    "pt2": _write_program,
}


def _traced(graph: ForecastGraph) -> torch.export.ExportedProgram:
    """The graph for any size of its free axes."""
    dynamic = torch.export.Dim.DYNAMIC
    shapes = {name: dict.fromkeys(axes, dynamic) for name, axes in graph.dynamic_axes().items()}
    # Else sizes 0 and 1 count as special, and a batch of one would need another graph.
    general = _symbolic_shapes.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    with torch.no_grad(), general, _quiet():
        return torch.export.export(graph, graph.example(), dynamic_shapes=shapes, strict=False)


def _fold(raw: Path, file: Path) -> None:
    """Compute once and for all what does not depend on the input: reshaped weights, for one."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(file)
    options.log_severity_level = 3
    runtime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def _is_delicate(name: str, graph: Any) -> bool:
    """Whether a matrix maps points to tokens, or tokens to experts or to the forecast."""
    users = [node for node in graph.node if name in node.input]
    near = [name, *(word for node in users for word in (*node.input, *node.output, node.name))]
    return any(part in word for word in near for part in ("embedding", "router", "head"))


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
