"""Numbered states that many processes write together while they go on: PyTorch's own format, made safe.

Each state is a folder. It takes its name only when every process has written its part and the main process
has noted the size and checksum of every file, so what has a name is whole; the former state is kept until
then, and damage found later makes the one before it the last good one.
"""

from __future__ import annotations

import json
import pickle
import shutil
import zlib
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from m.checkpoint.atomic import write_text_atomic
from m.checkpoint.errors import CheckpointError
from m.checkpoint.io import FOREIGN_ERRORS, load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.checkpoint.filesystem import FileSystemReader

_MANIFEST = "manifest.json"
_PLAIN = "plain.pt"
_METADATA = ".metadata"
_BLOCK = 1 << 20

# What the index of a state, which is a pickle, may be made of. Everything else is refused.
_INDEX_CLASSES = {
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    *(
        ("torch.distributed.checkpoint.metadata", name)
        for name in (
            "ChunkStorageMetadata",
            "Metadata",
            "MetadataIndex",
            "StorageMeta",
            "TensorProperties",
            "TensorStorageMetadata",
            "_MEM_FORMAT_ENCODING",
        )
    ),
}


class ShardedCheckpoints:
    """The states of one run.

    Args:
        folder: that holds them; created when the first is saved.
        is_main: whether this process names and removes them.
        group: of the processes, used by nothing else, since it is used while training goes on; None for a
            process that only reads.
        keep: how many whole states to keep.
    """

    def __init__(
        self, folder: Path, *, is_main: bool = True, group: ProcessGroup | None = None, keep: int = 2
    ) -> None:
        self.folder = folder
        self._is_main = is_main
        self._group = group
        self._keep = keep
        self._pending: tuple[int, Future[Any]] | None = None

    def save(self, step: int, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Begin to write a state; what tensors hold now is written, whatever they hold later.

        Args:
            step: its number.
            tensors: by name; a `DTensor` is written part by part, a plain tensor once.
            plain: everything else, of the main process.

        Raises:
            OSError: the state before could not be written.
        """
        # Imported here: it costs half a second that readers of models save.
        from torch.distributed.checkpoint.filesystem import FileSystemWriter  # noqa: PLC0415
        from torch.distributed.checkpoint.state_dict_saver import async_save  # noqa: PLC0415

        self.settle()
        place = self._unnamed(step)
        if self._is_main:
            shutil.rmtree(place, ignore_errors=True)
            save_checkpoint(place / _PLAIN, plain)
        writing = async_save(dict(tensors), storage_writer=FileSystemWriter(place), process_group=self._group)
        self._pending = (step, writing if isinstance(writing, Future) else writing.upload_completion)

    def settle(self) -> None:
        """Wait until what was saved has its name.

        Raises:
            OSError: it could not be written.
        """
        if self._pending is None:
            return
        (step, writing), self._pending = self._pending, None
        writing.result()
        if self._is_main:
            place = self._unnamed(step)
            write_text_atomic(place / _MANIFEST, json.dumps(_manifest(place)))
            shutil.rmtree(self.place(step), ignore_errors=True)  # of a run that was resumed before it
            place.rename(self.place(step))
            self._remove_old()

    def place(self, step: int) -> Path:
        """Folder of a whole state."""
        return self.folder / f"step-{step:010d}"

    def steps(self) -> list[int]:
        """Of the states that were written to the end, ascending."""
        if not self.folder.is_dir():
            return []
        found = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(number) for number in found if number.isdigit())

    def latest(self) -> int:
        """The last state whose files are as they were written.

        Raises:
            CheckpointError: there is none; says what is wrong with each.
        """
        wrong = []
        for step in reversed(self.steps()):
            problem = _damage(self.place(step))
            if problem is None:
                return step
            wrong.append(problem)
        raise CheckpointError(f"{self.folder} holds no whole state: {'; '.join(wrong) or 'it is empty'}")

    def plain(self, step: int) -> dict[str, Any]:
        """What was saved beside the tensors.

        Raises:
            CheckpointError: it cannot be read.
        """
        return load_checkpoint(self.place(step) / _PLAIN, kind="training_state")

    def shapes(self, step: int) -> dict[str, tuple[torch.Size, torch.dtype]]:
        """Whole shape and type of each tensor by name.

        Raises:
            CheckpointError: the index cannot be read, or holds something other than tensors.
        """
        from torch.distributed.checkpoint.metadata import TensorStorageMetadata  # noqa: PLC0415

        found = {}
        for name, entry in self._reader(step).read_metadata().state_dict_metadata.items():
            if not isinstance(entry, TensorStorageMetadata):
                raise CheckpointError(f"{self.place(step)}: '{name}' is no tensor; refused")
            found[name] = (entry.size, entry.properties.dtype)
        return found

    def load(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Read a state into tensors, parts (`DTensor`) or whole ones, however many processes wrote it.

        Raises:
            CheckpointError: it cannot be read, or lacks a tensor.
        """
        from torch.distributed import is_initialized  # noqa: PLC0415
        from torch.distributed.checkpoint.api import CheckpointException  # noqa: PLC0415
        from torch.distributed.checkpoint.state_dict_loader import load  # noqa: PLC0415

        self.shapes(step)  # refuses what is no tensor before anything of it is read
        try:
            load(
                dict(tensors),
                storage_reader=self._reader(step),
                process_group=self._group,
                no_dist=not is_initialized(),
            )
        except CheckpointException as error:
            raise CheckpointError(
                f"{self.place(step)}: {' '.join(map(str, error.failures.values()))}"
            ) from error

    def _unnamed(self, step: int) -> Path:
        return self.folder / f".step-{step:010d}.writing"

    def _remove_old(self) -> None:
        kept = self.steps()[-self._keep :]
        for step in self.steps():
            if step not in kept:
                shutil.rmtree(self.place(step), ignore_errors=True)
        for left in self.folder.glob(".step-*.writing"):  # of processes that were killed
            shutil.rmtree(left, ignore_errors=True)

    def _reader(self, step: int) -> FileSystemReader:
        from torch.distributed.checkpoint.filesystem import FileSystemReader  # noqa: PLC0415
        from torch.distributed.checkpoint.metadata import StorageMeta  # noqa: PLC0415

        class Reader(FileSystemReader):
            """Reads the index without running what a pickle might say."""

            def read_metadata(self, *args: Any, **options: Any) -> Any:
                del args, options
                index = _read_index(Path(self.path) / _METADATA)
                if index.storage_meta is None:
                    index.storage_meta = StorageMeta()
                index.storage_meta.load_id = self.load_id
                return index

        return Reader(self.place(step))


class _IndexUnpickler(pickle.Unpickler):
    """Builds shapes, types and places, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        is_type = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_type or (module, name) in _INDEX_CLASSES:
            return super().find_class(module, name)
        raise CheckpointError(f"refused, it names {module}.{name}")


def _read_index(path: Path) -> Any:
    from torch.distributed.checkpoint.metadata import Metadata  # noqa: PLC0415

    try:
        with path.open("rb") as file:
            index = _IndexUnpickler(file).load()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; only resume from states written by this package") from error
    except (pickle.UnpicklingError, OverflowError, MemoryError, *FOREIGN_ERRORS) as error:
        raise CheckpointError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(index, Metadata):
        raise CheckpointError(f"{path}: is no index of a state")
    return index


def _manifest(place: Path) -> dict[str, list[int]]:
    """Size and checksum of each file."""
    files = (path for path in sorted(place.iterdir()) if path.name != _MANIFEST)
    return {path.name: [path.stat().st_size, _checksum(path)] for path in files}


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            value = zlib.crc32(block, value)
    return value


def _damage(place: Path) -> str | None:
    """What is wrong with a state's files, or None."""
    try:
        written = json.loads((place / _MANIFEST).read_text(encoding="utf-8"))
        for name, (size, checksum) in written.items():
            path = place / name
            if not path.is_file():
                return f"{path} is missing"
            if path.stat().st_size != size or _checksum(path) != checksum:
                return f"{path} is damaged"
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"{place / _MANIFEST} cannot be read ({type(error).__name__})"
    return None
