"""Save and load ``.pt`` checkpoints: plain content only, written atomically, read without running code."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from m.checkpoint.atomic import atomic_path
from m.checkpoint.errors import CheckpointError
from m.checkpoint.plain import plain_copy

FORMAT = "m.checkpoint"
VERSION = 1

# What zipfile and torch raise for bytes they did not write is not documented. These are the classes that
# flipping bytes brings out (NotImplementedError is a RuntimeError, UnicodeDecodeError a ValueError).
FOREIGN_ERRORS = (
    RuntimeError,
    ValueError,
    LookupError,
    EOFError,
    TypeError,
    AttributeError,
    OSError,
    struct.error,
)


def save_checkpoint(path: str | Path, payload: Mapping[str, Any]) -> None:
    """Write ``payload`` to ``path`` with the format marker added; the old file stays until the new is safe.

    Args:
        path: the file; missing parent folders are created.
        payload: plain content (see `m.checkpoint.plain`).

    Raises:
        CheckpointError: content that is not plain (names the key path and type), or a payload that
            sets ``format`` or ``version`` itself.
        OSError: the file system refused.
    """
    clash = {"format", "version"} & set(payload)
    if clash:
        raise CheckpointError(f"{path}: payload may not set {sorted(clash)}; the writer sets them")
    try:
        content = plain_copy(dict(payload))
    except TypeError as error:
        raise CheckpointError(f"{path}: cannot save: {error}") from error
    # Through a file object the archive does not carry the temporary name: equal content, equal bytes.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        torch.save({"format": FORMAT, "version": VERSION, **content}, file)


def load_checkpoint(
    path: str | Path, map_location: str | torch.device = "cpu", *, kind: str | None = None
) -> dict[str, Any]:
    """Read a checkpoint written by `save_checkpoint`. No code in the file is ever run.

    The archive's checksums are verified first, so damage on disk is found instead of trained on.

    Args:
        path: the file.
        map_location: device to put tensors on.
        kind: when given, the payload's ``kind`` must equal it.

    Raises:
        CheckpointError: missing, truncated, damaged, foreign, holding code, objects or tensors larger
            than what is stored for them, of another kind, or of a newer format version. The message
            says which and what to do.
    """
    file = Path(path)
    _check_archive(file)
    try:
        content = torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{file}: refused, it holds objects or code instead of plain content{_foreign_class(error)}; "
            "only load checkpoints written by this package"
        ) from error
    except FOREIGN_ERRORS as error:
        raise CheckpointError(
            f"{file}: cannot be read as a checkpoint ({_first_line(error)}); it is damaged or was written "
            "by another program"
        ) from error
    return _check_content(file, content, kind)


def _check_archive(file: Path) -> None:
    if not file.exists():
        raise CheckpointError(f"{file}: no such checkpoint; check the path")
    if not file.is_file():
        raise CheckpointError(f"{file}: is a folder, not a checkpoint file; name the .pt file inside it")
    try:
        problem = _archive_problem(file)
    except (zipfile.BadZipFile, *FOREIGN_ERRORS) as error:
        raise CheckpointError(
            f"{file}: damaged archive ({_first_line(error)}); use another checkpoint"
        ) from error
    if problem:
        raise CheckpointError(f"{file}: {problem}")


def _archive_problem(file: Path) -> str | None:
    if not file.stat().st_size:
        return "not a checkpoint, the file is empty; copy it again or use another one"
    if not zipfile.is_zipfile(file):
        with file.open("rb") as stream:
            begins_as_archive = stream.read(4) == b"PK\x03\x04"
        if begins_as_archive:
            return "truncated, the end is missing; copy it again or use another checkpoint"
        return "not a checkpoint of this package (no archive); check the path"
    with zipfile.ZipFile(file) as archive:
        # torch stores its records uncompressed; a compressed one is foreign, and could be a zip bomb.
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            return "not a checkpoint of this package (it holds compressed records); check the path"
        bad = archive.testzip()
    if bad:
        return f"damaged, the checksum of {bad} does not match; copy it again or use another checkpoint"
    return None


def _check_content(file: Path, content: Any, kind: str | None) -> dict[str, Any]:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(
            f"{file}: not a checkpoint of this package (no '{FORMAT}' marker); "
            "weights from elsewhere are imported with m.checkpoint.load_safetensors"
        )
    version = content.get("version")
    if version != VERSION:
        raise CheckpointError(
            f"{file}: format version {version!r}, this package reads version {VERSION}; update the package"
        )
    if kind is not None and content.get("kind") != kind:
        raise CheckpointError(
            f"{file}: holds a {content.get('kind')!r}, expected a {kind!r}; "
            "best_model.pt and final_model.pt hold a 'model', training_state.pt holds a 'training_state'"
        )
    try:
        plain: dict[str, Any] = plain_copy(content, stored=True)
    except TypeError as error:
        raise CheckpointError(f"{file}: refused: {error}") from error
    return plain


def _foreign_class(error: pickle.UnpicklingError) -> str:
    """The class that was refused, in brackets. The rest of torch's text tells how to load it all the same."""
    found = re.search(r"GLOBAL (\S+)", str(error))
    return f" ({found[1]})" if found else ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
