"""HDF5: compound tables as PyTables writes them, and plain datasets by name."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from examples.trajectory_3d.recordings.options import TABLE_CHOICES, ReadOptions
from examples.trajectory_3d.recordings.readers.numpy_arrays import fields
from examples.trajectory_3d.recordings.registry import Match, register_format
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrays import tracks_of_arrays
from examples.trajectory_3d.recordings.tables.hdf5_content import SIGNATURE, open_hdf5
from examples.trajectory_3d.recordings.trajectory import Trajectory

_INDEX = "_i_"  # groups that PyTables keeps for itself begin so


def sniff(source: Source) -> Match:
    """By the signature; netCDF 4 and MATLAB 7.3 have it too, and more."""
    return Match.LIKELY if source.head.startswith(SIGNATURE) else Match.NO


@register_format("hdf5", "HDF5 tables and datasets", sniff=sniff, uses=TABLE_CHOICES)
def read(source: Source, options: ReadOptions) -> list[Trajectory]:
    """Tracks of the datasets: fields of compound ones, or arrays of one group and length, are columns.

    Raises:
        RecordingError: a damaged file, or datasets that cannot be told.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    with open_hdf5(source) as content:
        for name, dataset in content.datasets().items():
            if not any(part.startswith(_INDEX) for part in name.split("/")) and not content.is_reference(
                dataset
            ):
                arrays |= fields(name, content.array(dataset))
    return tracks_of_arrays(source.path, arrays, options, "hdf5")
