"""Parquet of this package gives back what was written, whole or in pieces, and says when it was damaged."""

import contextlib
import json

import numpy as np
import pytest

from examples.trajectory_3d.recordings.errors import RecordingError
from examples.trajectory_3d.recordings.geodesy import to_local
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.readers import own_parquet
from examples.trajectory_3d.recordings.registry import find_format, read
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.writers import write


def tracks():
    rng = np.random.default_rng(0)
    points, origin = to_local(48 + 1e-3 * rng.random(30), 11 + 1e-3 * rng.random(30), 500 * rng.random(30))
    glider = Trajectory(
        np.sort(rng.integers(0, 10**12, 30)) / 1e9,
        np.column_stack([points, rng.random(30)]),
        names=("east", "north", "up", "speed"),
        unit="m",
        frame="enu",
        clock="utc",
        start_ns=1_600_000_000_000_000_001,
        track="glider",
        origin=origin,
        notes=("odd",),
    )
    flat = Trajectory(
        np.arange(50) / 7, rng.random((50, 2)), names=("x", "y"), unit="km", track="flat", start_ns=-5
    )
    flat.points[3] = np.nan
    return [glider, flat]


def same(one, other):
    np.testing.assert_array_equal(one.stamps_ns(), other.stamps_ns())
    np.testing.assert_array_equal(one.points, other.points)
    for name in ("names", "unit", "frame", "clock", "start_ns", "track", "origin", "notes"):
        assert getattr(one, name) == getattr(other, name)


def test_everything_comes_back(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, tracks())
    assert find_format(Source(path), ReadOptions()).name == "trajectory-parquet"
    for one, other in zip(read(path), tracks(), strict=True):
        same(one, other)
    assert {track.unit for track in read(path, ReadOptions(unit="ft"))} == {"ft"}


@pytest.mark.parametrize("size", [1, 7, 30, 1000])
def test_pieces_follow_each_other(tmp_path, size):
    path = tmp_path / "t.parquet"
    write(path, tracks())
    pieces = [piece for some in own_parquet.stream(Source(path), ReadOptions(), size) for piece in some]
    assert max(map(len, pieces)) <= size
    for whole in tracks():
        mine = [piece for piece in pieces if piece.track == whole.track]
        np.testing.assert_array_equal(np.concatenate([p.stamps_ns() for p in mine]), whole.stamps_ns())
        np.testing.assert_array_equal(np.concatenate([p.points for p in mine]), whole.points)


def test_columns_that_are_named_are_read_as_a_table(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, tracks()[:1])
    (only,) = read(path, ReadOptions(time="time", position=("speed", "north")))
    np.testing.assert_array_equal(only.points, tracks()[0].points[:, [3, 1]])


@pytest.mark.parametrize(
    "damage",
    [
        lambda facts: facts["tracks"].pop(),
        lambda facts: facts["tracks"][0].update(samples=-1),
        lambda facts: facts["tracks"][0].update(samples="many"),
        lambda facts: facts["tracks"][0].update(unit=3),
        lambda facts: facts["tracks"][0].update(unit="cubit"),
        lambda facts: facts["tracks"][0].update(names=["a"]),
        lambda facts: facts.update(tracks=None),
    ],
)
def test_damaged_metadata_is_told(tmp_path, damage):
    import pyarrow.parquet as pq

    path = tmp_path / "t.parquet"
    write(path, tracks())
    table = pq.read_table(path)
    facts = json.loads(table.schema.metadata[b"trajectory-3d"])
    damage(facts)
    pq.write_table(table.replace_schema_metadata({"trajectory-3d": json.dumps(facts)}), path)
    with pytest.raises(RecordingError):
        read(path)


def test_cut_files_raise_nothing_else(tmp_path):
    path = tmp_path / "t.parquet"
    write(path, tracks())
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            broken[place] = rng.integers(256)
        if rng.random() < 0.3:
            broken = broken[: int(rng.integers(1, len(content) + 1))]
        path.write_bytes(bytes(broken))
        with contextlib.suppress(RecordingError):
            read(path)
