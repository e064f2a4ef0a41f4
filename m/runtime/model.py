"""Running an exported graph."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from m.moe.request import ForecastRequest
from m.runtime.block import Block
from m.runtime.held import HeldRows
from m.runtime.manifest import ExportedModelError, Manifest
from m.runtime.onnx import onnx_errors, onnxruntime
from m.runtime.rows import Inputs, Rows
from m.runtime.window import FreshRows

Run = Callable[[Inputs], list[NDArray[Any]]]


class ExportedModel:
    """A graph that reads contexts.

    Args:
        manifest: of the graph.
        run: computes the graph's outputs from its inputs.
    """

    def __init__(self, manifest: Manifest, run: Run) -> None:
        self.manifest = manifest
        self._run = run

    def begin(self, request: ForecastRequest) -> Rows:
        """The contexts of a request, of which nothing has been read."""
        kind: type[FreshRows | HeldRows] = HeldRows if self.manifest.cached else FreshRows
        return kind.of(request, self.manifest)

    def read(self, rows: Rows) -> Block:
        """Read sequences."""
        return Block.of(self._run(rows.inputs()))


def load_exported(folder: Path, *, device: str = "cpu", threads: int | None = None) -> ExportedModel:
    """Open an exported model.

    Args:
        folder: with the graph and its manifest.
        device: ``cpu``, or ``cuda`` where onnxruntime or torch have it.
        threads: of the processor, for one reading; None for one a core.

    Raises:
        ExportedModelError: nothing there that can be run, or not on that device.
    """
    manifest = Manifest.read(folder)
    file = folder / manifest.file
    if not file.is_file():
        raise ExportedModelError(f"{file}: no such file; copy the whole folder again")
    run = _program(file, device, threads) if manifest.kind == "pt2" else _onnx(file, device, threads)
    return ExportedModel(manifest, run)


def _onnx(file: Path, device: str, threads: int | None) -> Run:
    try:
        runtime = onnxruntime()
    except ImportError as error:
        raise ExportedModelError(f"{file}: needs onnxruntime, which is not installed") from error
    errors, options = onnx_errors(), runtime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    options.log_severity_level = 3
    wanted = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
    if wanted not in runtime.get_available_providers():
        raise ExportedModelError(
            f"this onnxruntime cannot compute on {device}; install onnxruntime-gpu, or take --device cpu"
        )
    try:
        session = runtime.InferenceSession(file, options, providers=[wanted])
    except errors as error:
        raise ExportedModelError(f"{file}: onnxruntime cannot open it ({error}); copy it again") from error

    def run(inputs: Inputs) -> list[NDArray[Any]]:
        try:
            result: list[NDArray[Any]] = session.run(None, inputs)
        except errors as error:  # for want of memory, most likely
            raise RuntimeError(f"the graph could not be computed: {error}") from error
        return result

    return run


def _program(file: Path, device: str, threads: int | None) -> Run:
    try:
        import torch  # noqa: PLC0415  (only where such a graph is run)
    except ImportError as error:
        raise ExportedModelError(f"{file}: programs of torch.export need torch installed") from error
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        # Guards say that no size is 1, which holds of the trace and not of the graph.
        program = torch.export.load(file).module(check_guards=False).to(device)
    except (OSError, RuntimeError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise ExportedModelError(f"{file}: torch cannot open it on {device} ({error})") from error

    def run(inputs: Inputs) -> list[NDArray[Any]]:
        with torch.no_grad():
            tensors = (torch.from_numpy(part).to(device) for part in inputs.values())
            return [part.cpu().numpy() for part in program(*tensors)]

    return run
