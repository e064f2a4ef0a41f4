"""Models as JSON: what ``trajectory-3d-models list --json`` and ``details --json`` print."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Sequence
from typing import Any

from examples.trajectory_3d.model_layers import model_parts
from examples.trajectory_3d.run_metadata import RunInfo, finite, when_of

JSON_FORMAT = "trajectory_3d.models"
JSON_VERSION = 1


def list_json(infos: Sequence[RunInfo]) -> dict[str, Any]:
    """The list as plain content; undefined and missing values are None.

    Schema (version 1):
        format, version: "trajectory_3d.models", 1.
        models: list of {name, path, model_file or None, kind: run | release | checkpoint, status, problems:
            [texts], modified: ISO 8601 in UTC, step, max_steps, best_validation: {metric, value, step},
            architecture: text, parameters: {total, active}, size_bytes, test: {position_error: metres, gn}}.
    """
    return {"format": JSON_FORMAT, "version": JSON_VERSION, "models": [_row(info) for info in infos]}


def details_json(info: RunInfo) -> dict[str, Any]:
    """One model: the fields of its row in `list_json`, and its layers, files and the files' contents."""
    parts = [dataclasses.asdict(part) for part in model_parts(info.model)]
    contents = {"summary": info.summary, "config": info.config, "evaluation": info.evaluation}
    return {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "model": {**_row(info), "layers": parts, "files": files_of(info), **plain(contents)},
    }


def files_of(info: RunInfo) -> list[dict[str, Any]]:
    """Name and bytes of the files directly in the model's folder, in alphabetical order."""
    paths = [info.path]
    if info.path.is_dir():
        paths = sorted(path for path in info.path.iterdir() if path.is_file() and not path.is_symlink())
    return [{"name": path.name, "size_bytes": path.stat().st_size} for path in paths if path.exists()]


def plain(value: object) -> Any:
    """Content that JSON can hold: NaN and infinity as None, what it has no form for as text."""
    if isinstance(value, dict):
        return {_text(str(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    return _text(str(value))


def _text(value: str) -> str:
    """File names may hold bytes that are no UTF-8; they are shown as question marks."""
    return value.encode("utf-8", "replace").decode()


def _row(info: RunInfo) -> dict[str, Any]:
    file = info.model_file
    return {
        "name": _text(info.name),
        "path": _text(str(info.path)),
        "model_file": None if file is None else _text(str(file)),
        "kind": info.kind,
        "status": info.status,
        "problems": [_text(each) for each in info.problems],
        "modified": when_of(info).astimezone(datetime.UTC).isoformat(timespec="seconds"),
        "step": info.step,
        "max_steps": info.max_steps,
        "best_validation": {"metric": info.metric, "value": finite(info.best), "step": info.best_step},
        "architecture": info.architecture,
        "parameters": {"total": info.total_parameters, "active": info.active_parameters},
        "size_bytes": info.size_bytes,
        "test": {"position_error": finite(info.error), "gn": finite(info.gn)},
    }
