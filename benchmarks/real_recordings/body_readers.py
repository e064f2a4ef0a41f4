"""Readers of marker, joint and robot recordings."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import scipy.io

from benchmarks.real_recordings.tracks import Array, Track, make_track

_METRES = {"mm": 1e-3, "cm": 1e-2, "m": 1.0}
_CMU_UNIT = 0.0254 / 0.45  # the CMU motion-capture unit: 1/0.45 inch
_C3D_BLOCK = 512


def read_vicon(path: Path) -> list[Track]:
    """Vicon Nexus csv: rate, names and units in lines 2, 3, 5; then ``frame, sub, x, y, z, ...``."""
    with path.open(encoding="utf-8-sig") as file:
        _, rate, names, _, units = (file.readline().rstrip("\n").split(",") for _ in range(5))
    markers = sum(1 for name in names if name.strip())
    table = np.genfromtxt(path, delimiter=",", skip_header=5, usecols=range(2 + 3 * markers))
    return _markers(table[:, 0] / float(rate[0]), table[:, 2:] * _METRES[units[2].strip()])


def read_trc(path: Path) -> list[Track]:
    """TRC, by tabs or commas: rate, marker count and unit in line 3, then ``frame, time, x, y, z, ...``."""
    with path.open(encoding="utf-8") as file:
        head = [file.readline() for _ in range(3)]
    delimiter = "\t" if "\t" in head[2] else ","
    facts = head[2].split(delimiter)
    columns = range(2 + 3 * int(facts[3]))
    table = np.genfromtxt(path, delimiter=delimiter, skip_header=5, usecols=columns)
    return _markers(table[:, 1], table[:, 2:] * _METRES[facts[4].strip()])


def read_c3d(path: Path) -> list[Track]:
    """C3D with little-endian floating-point data in metres; samples that no camera saw are left out.

    The header gives the counts; a frame holds x, y, z and a residual for each point (negative when the point
    was not seen), then the analogue samples.

    Raises:
        ValueError: not a C3D file, or one with integer data.
    """
    content = path.read_bytes()
    points, analogue, first, last = struct.unpack_from("<4H", content, 2)
    (scale,) = struct.unpack_from("<f", content, 12)
    (start,) = struct.unpack_from("<H", content, 16)
    (rate,) = struct.unpack_from("<f", content, 20)
    if content[1] != 0x50 or scale >= 0:
        raise ValueError(f"{path}: no C3D file with floating-point data (key {content[1]:#x}, scale {scale})")
    width, frames = 4 * points + analogue, last - first + 1
    values = np.frombuffer(content, dtype="<f4", count=frames * width, offset=(start - 1) * _C3D_BLOCK)
    samples = values.reshape(frames, width)[:, : 4 * points].reshape(frames, points, 4).astype(np.float64)
    samples[samples[..., 3] < 0] = np.nan
    return _markers(np.arange(frames) / rate, samples[..., :3].reshape(frames, -1))


def read_bvh_root(path: Path) -> list[Track]:
    """The path of a BVH skeleton's root (the hips), in CMU units; its position channels come first."""
    head, _, motion = path.read_text(encoding="utf-8").partition("MOTION")
    channels = next(line.split() for line in head.splitlines() if line.strip().startswith("CHANNELS"))
    if channels[2:5] != ["Xposition", "Yposition", "Zposition"]:
        raise ValueError(f"{path}: the root's first channels are {channels[2:5]}, not its position")
    lines = motion.strip().splitlines()
    step = float(lines[1].split(":")[1])
    points = np.array([line.split()[:3] for line in lines[2:] if line.strip()], dtype=np.float64)
    return [make_track(np.arange(len(points)) * step, points * _CMU_UNIT)]


def read_demonstrations(path: Path) -> list[Track]:
    """Robot demonstrations in MATLAB's format: cells ``data`` of 6 x N (position first), step ``dt``."""
    content = scipy.io.loadmat(path)
    step = float(content["dt"].item())
    cells = [np.asarray(cell, dtype=np.float64) for cell in content["data"].ravel()]
    return [make_track(np.arange(cell.shape[1]) * step, cell[:3].T) for cell in cells]


def _markers(times: Array, columns: Array) -> list[Track]:
    """One track for each marker that was seen, from columns x, y, z, x, y, z, ... in metres."""
    tracks = [make_track(times, columns[:, i : i + 3]) for i in range(0, columns.shape[1], 3)]
    return [track for track in tracks if len(track.times)]
