"""Whether a file is what its name says, told from a few kilobytes of it and without torch."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path

_LARGEST_PICKLE = 16 * 2**20  # of a checkpoint's structure; its numbers are in entries of their own
_LARGEST_HEADER = 100 * 2**20
_ZIP_START = b"PK\x03\x04"


def checkpoint_problem(path: Path) -> str | None:
    """What is wrong with a ``.pt`` file: ``corrupt: ...``, ``foreign: ...``; None when nothing shows.

    Reads the table of contents and the structure, not the numbers: a flipped bit in a weight is found by
    loading only.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if not start:
            return "corrupt: empty file"
        if not zipfile.is_zipfile(path):
            if start == _ZIP_START:
                return "corrupt: truncated, its table of contents is missing"
            return "foreign: no PyTorch checkpoint"
        with zipfile.ZipFile(path) as archive:
            return _archive_problem(archive)
    except OSError as error:
        return f"corrupt: cannot be read ({error.strerror or error})"
    except (zipfile.BadZipFile, zlib.error, struct.error, ValueError, RuntimeError, EOFError) as error:
        return f"corrupt: {error}"


def _archive_problem(archive: zipfile.ZipFile) -> str | None:
    entries = archive.infolist()
    structure = next((entry for entry in entries if entry.filename.count("/") == 1
                      and entry.filename.endswith("/data.pkl")), None)  # fmt: skip
    if structure is None:
        return "foreign: a zip archive, but no PyTorch checkpoint"
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        return "foreign: a compressed archive, PyTorch writes none"
    prefix = structure.filename.removesuffix("data.pkl")
    version = next((entry for entry in entries if entry.filename == f"{prefix}version"), None)
    if version is None:
        return "corrupt: an entry is missing (version)"
    for entry in (structure, version):
        if entry.file_size <= _LARGEST_PICKLE:
            archive.read(entry)  # compares its checksum
    return None


def safetensors_problem(path: Path) -> str | None:
    """The same of a ``.safetensors`` file: its header is read, and its length compared with it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(8)
            length = struct.unpack("<Q", first)[0] if len(first) == 8 else 0
            if not 2 <= length <= min(size, _LARGEST_HEADER):
                return "foreign: no safetensors file"
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + max(ends, default=0)
    except OSError as error:
        return f"corrupt: cannot be read ({error.strerror or error})"
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return "foreign: no safetensors file"
    return None if size == expected else f"corrupt: has {size:,} bytes, its header says {expected:,}"
