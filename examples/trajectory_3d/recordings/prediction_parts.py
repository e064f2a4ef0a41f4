"""Results of single files, kept as soon as they are made, so that what fails later costs only the rest.

A part is an ``.npz`` of arrays and one text of JSON; nothing in it is code, so that reading one runs none.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

import m
from examples.trajectory_3d.forecasters import PathForecast
from examples.trajectory_3d.model_export import sha256
from examples.trajectory_3d.recordings.backtesting import BackTestScore, BackTestWindows
from examples.trajectory_3d.recordings.findings import Finding
from examples.trajectory_3d.recordings.forecasting import TrackForecast, Unforecast
from examples.trajectory_3d.recordings.prediction import FilePrediction, FileScores, PredictionJob
from examples.trajectory_3d.recordings.resampling import UniformPath
from examples.trajectory_3d.recordings.trajectory import Origin, Trajectory
from m.checkpoint import atomic_path

_VERSION = 1  # of what a part holds
_ROOT = "json"
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        BackTestScore,
        BackTestWindows,
        FilePrediction,
        FileScores,
        Finding,
        Origin,
        PathForecast,
        TrackForecast,
        Trajectory,
        UniformPath,
        Unforecast,
    )
}


class PartError(ValueError):
    """Bytes that are no part."""


def to_bytes(prediction: FilePrediction) -> bytes:
    """A prediction as a part; equal when it is read again, to the last digit."""
    arrays: list[np.ndarray] = []
    text = json.dumps(_encoded(prediction, arrays))
    named = {f"a{number}": array for number, array in enumerate(arrays)}
    target = io.BytesIO()
    np.savez_compressed(target, allow_pickle=False, **named, **{_ROOT: np.array(text)})
    return target.getvalue()


def from_bytes(content: bytes) -> FilePrediction:
    """What `to_bytes` was given.

    Raises:
        PartError: the bytes are no part, or not a whole one.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            found = _decoded(json.loads(str(stored[_ROOT])), stored)
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise PartError(f"no result of a file: {error}") from error
    if not isinstance(found, FilePrediction):
        raise PartError(f"the result of a file is expected, got {type(found).__name__}")
    return found


class Parts:
    """A folder of results, each under a name that says of what it is the result.

    A result counts for the same file (name and content), model (content), settings and version of this
    package. Whatever else lies in the folder is left alone.

    Args:
        folder: made when the first result is kept.
        job: what is done with the files.
    """

    def __init__(self, folder: Path, job: PredictionJob) -> None:
        self.folder = folder
        facts = {"version": _VERSION, "package": m.__version__, "job": asdict(job)}
        self._common = json.dumps(facts | {"model": _fingerprint(Path(job.model))}, sort_keys=True)

    def place(self, path: str) -> Path:
        """Where the result of a file is kept.

        Raises:
            OSError: the file cannot be read.
        """
        key = hashlib.sha256(f"{self._common}\n{path}\n{sha256(Path(path))}".encode()).hexdigest()
        stem = re.sub(r"[^\w.-]", "_", Path(path).name)[:80]
        return self.folder / f"{stem}-{key[:24]}.npz"

    def find(self, place: Path) -> FilePrediction | None:
        """The result at a place; None where there is none, or no whole one."""
        try:
            return from_bytes(place.read_bytes())
        except (OSError, PartError):
            return None

    def keep(self, place: Path, content: bytes) -> None:
        """Keep a result, whole or not at all."""
        with atomic_path(place) as partial:
            partial.write_bytes(content)

    def remove(self, places: Sequence[Path]) -> None:
        """Forget results that are in their output, and the folder if nothing else is in it."""
        for place in places:
            place.unlink(missing_ok=True)
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()


def _fingerprint(model: Path) -> str:
    """SHA-256 of a model's weights and of the files of its folder that say how they are used."""
    beside = sorted({*model.parent.glob("*.json"), *model.parent.glob("*.yaml")})
    return " ".join(sha256(file) for file in (model, *beside) if file.is_file())


def _encoded(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON holds it; arrays go into the list."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": f"a{len(arrays) - 1}"}
    if is_dataclass(value) and not isinstance(value, type):
        inner = {each.name: _encoded(getattr(value, each.name), arrays) for each in fields(value)}
        return {"kind": type(value).__name__, "fields": inner}
    if isinstance(value, dict):
        return {"pairs": [[_encoded(key, arrays), _encoded(inner, arrays)] for key, inner in value.items()]}
    if isinstance(value, tuple | list):
        return {"items": [_encoded(inner, arrays) for inner in value]}
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a part")


def _decoded(value: Any, arrays: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return arrays[value["array"]]
    if "items" in value:
        return tuple(_decoded(inner, arrays) for inner in value["items"])
    if "pairs" in value:
        return {_decoded(key, arrays): _decoded(inner, arrays) for key, inner in value["pairs"]}
    made = _KINDS[value["kind"]]
    return made(**{name: _decoded(inner, arrays) for name, inner in value["fields"].items()})
