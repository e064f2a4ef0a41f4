"""HDF5 files opened for reading, so that whatever is wrong in them is said as everything else."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.source import Source

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_ATTRIBUTE = 1 << 20  # bytes
_MOST_VALUES = 1 << 31  # of one array; a damaged header may claim any number


@dataclass(frozen=True)
class Hdf5Content:
    """What an open HDF5 file holds.

    Attributes:
        source: the file.
        file: h5py's.
    """

    source: Source
    file: Any

    def datasets(self) -> dict[str, Any]:
        """Its datasets by path, in the order of the file's names."""
        import h5py  # noqa: PLC0415

        found: dict[str, Any] = {}

        def visit(name: str | bytes, item: object) -> None:  # bytes where a name is no UTF-8
            if isinstance(item, h5py.Dataset):
                found[name if isinstance(name, str) else name.decode("utf-8", "replace")] = item

        self.file.visititems(visit)
        return found

    def array(self, dataset: Any) -> npt.NDArray[Any]:
        """All values of a dataset; texts as such."""
        if dataset.shape is None or dataset.size > _MOST_VALUES:
            return np.empty(0)
        values = np.asarray(dataset[()])
        if (
            values.dtype == object
            and values.size
            and all(isinstance(each, bytes) for each in values.reshape(-1))
        ):
            return np.char.decode(values.astype(np.bytes_), "utf-8", "replace")
        return values

    def attributes(self, item: Any, wanted: Collection[str]) -> dict[str, Any]:
        """Some attributes with their texts decoded, those that are there and can be read.

        Others are left alone: texts of free length lie in heaps, which the HDF5 library trusts.
        """
        result: dict[str, Any] = {}
        for name in wanted:
            try:
                if name not in item.attrs:
                    continue
                known = item.attrs.get_id(name)
                if known.shape is None or prod(known.shape) * max(known.dtype.itemsize, 1) > _MOST_ATTRIBUTE:
                    continue  # damaged: h5py would fill the memory with it
                value = item.attrs[name]
            except (
                OSError,
                TypeError,
                KeyError,
                ValueError,
                RuntimeError,
            ):  # damaged, or of a kind that h5py does not know
                continue
            if isinstance(value, np.ndarray) and value.size == 1:
                value = value.reshape(-1)[0]
            result[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return result

    def is_reference(self, dataset: Any) -> bool:
        """Whether a dataset points to others, as MATLAB's cell arrays do."""
        import h5py  # noqa: PLC0415

        return h5py.check_ref_dtype(dataset.dtype) is h5py.Reference

    def targets(self, dataset: Any) -> list[npt.NDArray[Any]]:
        """Values of the datasets that one points to."""
        import h5py  # noqa: PLC0415

        items = [self.file[each] for each in np.asarray(dataset[()]).reshape(-1)]
        return [self.array(each) for each in items if isinstance(each, h5py.Dataset)]


@contextmanager
def open_hdf5(source: Source) -> Iterator[Hdf5Content]:
    """An HDF5 file, compressed by gzip or not.

    Raises:
        RecordingError: it is damaged, where it is opened or while it is read.
    """
    import h5py  # noqa: PLC0415

    content = io.BytesIO(source.read()) if source.compressed else str(source.path)
    try:
        with h5py.File(content, "r") as file:
            yield Hdf5Content(source, file)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        if isinstance(error, RecordingError):
            raise
        raise RecordingError(
            source.path, f"damaged HDF5 content ({error})", expected="a whole file"
        ) from error
