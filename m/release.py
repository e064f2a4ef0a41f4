"""Ready models: written small for shipping, found by path or by the name under which they are installed.

A release is a folder with ``model.safetensors`` (half precision) and ``config.json``. An installed
application makes one known by an entry point of the group ``m.models``; this package only ever sees the
name and the folder::

    [project.entry-points."m.models"]
    my-model = "my_package.weights:folder"   # a path, or a function of no arguments that returns one
"""

from __future__ import annotations

import os
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from m.checkpoint import CheckpointError, export_safetensors, load_model, load_safetensors
from m.checkpoint.model import build_model
from m.checkpoint.safetensors import CONFIG_NAME, WEIGHTS_NAME
from m.config import nearest_hint, to_dict
from m.moe.model import MoESequenceRegressor

ENTRY_POINT_GROUP = "m.models"
FORMAT = "m.release"
VERSION = 1
HALF_PRECISIONS = (torch.float16, torch.bfloat16)

_RUN_CHECKPOINTS = ("best_model.pt", "final_model.pt")  # what a run's folder holds, better first


def load(name_or_path: str | Path, *, device: str | torch.device | None = None) -> MoESequenceRegressor:
    """Get a model that is ready to forecast: ``load("some-name").forecast(context, horizon)``.

    A string that is exactly a registered name means that model, whatever files lie in the working folder,
    so that a script does the same everywhere. Anything else is a path; to open a file or folder that is
    called like a registered model, write ``./name`` or pass a `Path`.

    Args:
        name_or_path: a registered name (see `registered_models`), or the path of a release folder, a run's
            folder (its best checkpoint, else the final one; a release in the same folder comes first), a
            ``.pt`` checkpoint or a ``.safetensors`` file with its ``config.json`` beside it.
        device: where the model computes; None is the CPU, which serves one path fastest for small models.

    Returns:
        The model in eval mode, parameters in float32 whatever they were stored in. Its ``forecast`` takes
        ``[T, D]`` or ``[B, T, D]`` in any units.

    Raises:
        CheckpointError: no such name or path (lists the registered names and the nearest), or nothing
            there that can be loaded.
    """
    return _load_path(locate(name_or_path)).to(device or "cpu")


def locate(name_or_path: str | Path) -> Path:
    """Where the model lies that `load` would get.

    Raises:
        CheckpointError: no such name or path (lists the registered names and the nearest).
    """
    registered = registered_path(name_or_path) if isinstance(name_or_path, str) else None
    path = registered or Path(name_or_path).expanduser()
    if not path.exists():
        raise CheckpointError(_not_found(str(name_or_path), registered_models()))
    return path


def registered_models() -> dict[str, EntryPoint]:
    """Models that installed applications have registered, by name, in alphabetical order.

    Raises:
        CheckpointError: two applications claim one name for different folders.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise CheckpointError(
                f"two installed applications register a model called {point.name!r}, as {other.value} and as "
                f"{point.value}; uninstall one, or load the model by its path"
            )
    return found


def registered_path(name: str) -> Path | None:
    """Where the registered model of a name lies; None when no installed application registers the name.

    Raises:
        CheckpointError: the application that registered it is broken, or two claim the name.
    """
    point = registered_models().get(name)
    return None if point is None else _existing_path(point)


def save_release(
    folder: str | Path, model: MoESequenceRegressor, *, dtype: torch.dtype = torch.float16
) -> None:
    """Write the model for shipping: matrices in half precision, vectors and scalars as they are.

    Vectors (norm gains, biases) are a negligible share of the bytes, and rounding them would cost accuracy.

    Args:
        folder: created when missing; gets ``model.safetensors`` and ``config.json``.
        model: to write.
        dtype: ``torch.float16`` (11 significant bits, up to 65504) or ``torch.bfloat16`` (8, wider range).

    Raises:
        ValueError: another dtype.
        CheckpointError: a weight is not finite in ``dtype``.
        OSError: the file system refused.
    """
    weights = half_precision(model.state_dict(), dtype)
    broken = [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]
    if broken:
        raise CheckpointError(
            f"{folder}: weight '{broken[0]}' is not finite in {dtype}; "
            + ("try torch.bfloat16, whose range is float32's" if dtype == torch.float16 else "train it again")
        )
    export_safetensors(folder, weights, release_config(model))


def save_weights(folder: str | Path, model: MoESequenceRegressor) -> None:
    """Write the model for `load` without rounding: in half precision where that is exact, else as it is.

    Args:
        folder: created when missing; gets ``model.safetensors`` and ``config.json``.
        model: to write.

    Raises:
        OSError: the file system refused.
    """
    state = {name: _narrowest(value) for name, value in model.state_dict().items()}
    export_safetensors(folder, state, release_config(model))


def release_config(model: MoESequenceRegressor) -> dict[str, Any]:
    """Content of a release's ``config.json``."""
    return {"format": FORMAT, "version": VERSION, "model_config": to_dict(model.config)}


def _narrowest(value: Tensor) -> Tensor:
    """A matrix in the first half precision that holds it exactly, else as it is."""
    if value.dtype != torch.float32 or value.ndim < 2:
        return value
    return next(
        (half for half in map(value.to, HALF_PRECISIONS) if bool((half.float() == value).all())), value
    )


def half_precision(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The weights as `save_release` stores them.

    Raises:
        ValueError: ``dtype`` is no half precision.
    """
    if dtype not in HALF_PRECISIONS:
        raise ValueError(f"a release is stored in torch.float16 or torch.bfloat16, got {dtype}")
    return {
        name: value.to(dtype) if value.is_floating_point() and value.ndim > 1 else value
        for name, value in state.items()
    }


def _load_path(path: Path) -> MoESequenceRegressor:
    if path.suffix == ".safetensors":
        if path.name != WEIGHTS_NAME:
            raise CheckpointError(f"{path}: a release's weights are called {WEIGHTS_NAME}; rename the file")
        return _load_release(path.parent)
    if not path.is_dir():
        return load_model(path)
    if (path / WEIGHTS_NAME).exists():
        return _load_release(path)
    for name in _RUN_CHECKPOINTS:
        if (path / name).exists():
            return load_model(path / name)
    expected = ", ".join((f"{WEIGHTS_NAME} with {CONFIG_NAME}", *_RUN_CHECKPOINTS))
    raise CheckpointError(f"{path}: no model in this folder; expected one of {expected}")


def _load_release(folder: Path) -> MoESequenceRegressor:
    weights, content = load_safetensors(folder)
    config_file = folder / CONFIG_NAME
    if content.get("format") != FORMAT or not isinstance(content.get("model_config"), dict):
        raise CheckpointError(
            f"{config_file}: does not describe a release of this package (no '{FORMAT}' marker with a "
            "model_config); write releases with m.release.save_release"
        )
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{config_file}: release version {content.get('version')!r}, this package reads version "
            f"{VERSION}; update the package"
        )
    # The model is made in float32 and the stored numbers are copied into it, which widens them.
    return build_model(content["model_config"], weights, source=str(folder))


def _existing_path(point: EntryPoint) -> Path:
    origin = f"registered model {point.name!r} ({point.value})"
    try:
        found: Any = point.load()
        path = found() if callable(found) else found
    except (ImportError, AttributeError) as error:
        raise CheckpointError(
            f"{origin}: the application that registered it cannot be imported ({error}); reinstall it"
        ) from error
    if not isinstance(path, str | os.PathLike):
        raise CheckpointError(
            f"{origin}: must give the path of a model, gave a {type(path).__name__}; "
            "this is an error of the application that registered it"
        )
    if not Path(path).exists():
        raise CheckpointError(f"{origin}: {path} does not exist; reinstall the application")
    return Path(path)


def _not_found(name: str, known: dict[str, EntryPoint]) -> str:
    if not known:
        return (
            f"no model '{name}': there is no such path, and no installed application registers a model; "
            "give the path of a checkpoint, or install an application that ships one"
        )
    hint = nearest_hint(name, known)
    near = hint if hint.startswith("; did you mean") else ""
    return f"no model '{name}': no such path, and the registered models are {', '.join(known)}{near}"
