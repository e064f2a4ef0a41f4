"""Running an exported graph."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from m.arrays import Array
from m.runtime.manifest import ExportedModelError, Manifest
from m.runtime.onnx import onnx_errors, onnxruntime

Counts = NDArray[np.int64]
Run = Callable[[Array, Counts, Counts], list[NDArray[Any]]]


@dataclass(frozen=True)
class Block:
    """The next P points of sequences, and who served the tokens that said so.

    Attributes:
        location: centre, ``[B, P, K]`` in the inputs' units.
        spread: the family's scale along `axes`, in these units, ``[B, P, K]``.
        axes: of each sequence's frame, ``[B, K, K]``, row i the i-th.
        experts: ``[B, T', L, top_k]``; of tokens before a sequence's first or after its last: nothing.
        weights: their gates.
    """

    location: Array
    spread: Array
    axes: Array
    experts: NDArray[np.int64]
    weights: NDArray[np.float32]

    def marginal_scale(self) -> Array:
        """Scale of each coordinate, ``[B, P, K]``: squared, a weighted mean of those along the axes."""
        result: Array = np.sqrt(np.square(self.spread) @ np.square(self.axes))
        return result

    def rows(self, index: Any) -> Block:
        """Those of the sequences named, which may repeat."""
        parts = (self.location, self.spread, self.axes, self.experts, self.weights)
        return Block(*(part[index] for part in parts))


class ExportedModel:
    """A graph that reads contexts.

    Args:
        manifest: of the graph.
        run: computes the graph's outputs from its inputs.
    """

    def __init__(self, manifest: Manifest, run: Run) -> None:
        self.manifest = manifest
        self._run = run

    def read(self, points: Array, lengths: Counts, anchored: Counts) -> Block:
        """Read sequences.

        Args:
            points: ``[B, T, D]`` right-padded.
            lengths: valid points of each, ``[B]``.
            anchored: the first points of each, so many, that it is normalised by, ``[B]``.
        """
        missing = self.manifest.least_points - points.shape[1]
        if missing > 0:
            points = np.pad(points, ((0, 0), (0, missing), (0, 0)))
        return Block(*self._run(np.ascontiguousarray(points, dtype=np.float64), lengths, anchored))


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

    def run(points: Array, lengths: Counts, anchored: Counts) -> list[NDArray[Any]]:
        inputs = {"points": points, "lengths": lengths, "anchored": anchored}
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

    def run(points: Array, lengths: Counts, anchored: Counts) -> list[NDArray[Any]]:
        with torch.no_grad():
            inputs = (torch.from_numpy(part).to(device) for part in (points, lengths, anchored))
            return [part.cpu().numpy() for part in program(*inputs)]

    return run
