"""Tables in JSON, Parquet, Feather, NumPy's, MATLAB's, HDF5 and netCDF files; RTKLIB, Vicon, SeaExplorer."""

import gzip
import json
from datetime import UTC, datetime

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import scipy.io

from examples.trajectory_3d.recordings import ReadOptions, RecordingError, read
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.registry import formats
from examples.trajectory_3d.recordings.source import Source
from examples.trajectory_3d.recordings.tables.arrow_tables import parquet_batches
from examples.trajectory_3d.recordings.tables.mat5 import load_mat5

TIMES = np.array([0, 0.1, 0.2, 0.3])
POINTS = np.arange(12.0).reshape(4, 3) ** 1.5


@pytest.fixture
def write(tmp_path):
    """Writes text or bytes as a file."""

    def write_file(content, name):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


def check(path, name, clock="elapsed", **options):
    tracks = read(path, ReadOptions(**options))
    assert [track.format for track in tracks] == [name] * len(tracks)
    for track in tracks:
        np.testing.assert_array_equal(track.points[:, :3], POINTS)
        np.testing.assert_array_equal(track.times, TIMES)
        assert track.clock == clock
    return tracks


def frame(**columns):
    return pd.DataFrame({"time": TIMES, "x": POINTS[:, 0], "y": POINTS[:, 1], "z": POINTS[:, 2], **columns})


RECORDS = [{"time": t, "x": x, "y": y, "z": z} for t, (x, y, z) in zip(TIMES, POINTS.tolist(), strict=True)]


@pytest.mark.parametrize(
    "content",
    [
        RECORDS,
        {"data": {"samples": RECORDS}, "author": "nobody"},
        {"time": TIMES.tolist(), **{axis: POINTS[:, i].tolist() for i, axis in enumerate("xyz")}},
        {"time": TIMES.tolist(), "position": POINTS.tolist()},
        [{"stamp": {"sec": each.pop("time")}, "position": each} for each in map(dict, RECORDS)],
        [{"time": t, "position": list(p)} for t, p in zip(TIMES, POINTS, strict=True)],
        {"dt": 0.1, "points": POINTS.tolist()},
    ],
    ids=[
        "records",
        "nested",
        "lists",
        "lists with vectors",
        "objects in records",
        "vectors in records",
        "a step",
    ],
)
def test_json(write, content):
    options = {"time": "stamp.sec"} if isinstance(content, list) and "stamp" in content[0] else {}
    text = json.dumps(content, default=float)
    if "dt" in content:
        tracks = read(write(text, "a.json"))
        np.testing.assert_array_equal(tracks[0].points, POINTS)
        assert tracks[0].clock == "elapsed"
        return
    check(write(text, "a.json"), "json", **options)
    check(write(gzip.compress(text.encode()), "b.json.gz"), "json", **options)


@pytest.mark.parametrize(
    "content",
    [
        [{"id": "a", "samples": RECORDS}, {"id": "b", "samples": RECORDS}],
        {
            "tracks": [
                {"name": "a", "time": TIMES.tolist(), "xyz": POINTS.tolist()},
                {"name": "b", "time": TIMES.tolist(), "xyz": POINTS.tolist()},
            ]
        },
        {"a": RECORDS, "b": RECORDS},
    ],
    ids=["objects with records", "objects with lists", "keys"],
)
def test_json_with_a_table_for_each_track(write, content):
    tracks = check(write(json.dumps(content), "a.json"), "json")
    assert [track.track for track in tracks] == ["a", "b"]


def test_json_faults(write):
    for text, message in {
        '[{"time": 0, "x": 1},\n {"time": 1 "x"}]': ":2:13: ",
        "[]": "no table",
        '{"a": {"b": 1}}': "no table",
        '{"a": [{"time": 1, "x": 1}], "b": [{"time": 1, "y": 1}]}': "2 tables",
        '[{"time": 0, "x": "much"}, {"time": 1, "x": 2}]': "row 1 of column 'x': 'much'",
        '[{"time": 0, "x": 1}, 3]': "no table",
        '{"type": "Feature", "geometry": {"coordinates": [[1, 2], [3, 4]]}}': "GeoJSON",
        "[" * 100_000: "nested",
    }.items():
        with pytest.raises(RecordingError, match=message):
            read(write(text, "a.json"), ReadOptions(format="json"))


def test_json_lines(write):
    lines = "\n".join(json.dumps(record) for record in RECORDS)
    path = write(lines, "a.jsonl")
    check(path, "jsonl")
    check(write(lines, "unnamed"), "jsonl")
    with pytest.raises(RecordingError, match=":3:"):
        read(write(lines.replace('{"time": 0.2,', '{"time": 0.2'), "b.jsonl"))
    with pytest.raises(RecordingError, match="'high'"):
        read(write(lines + '\n{"time": 1, "x": 1, "y": 2, "z": "high"}', "c.jsonl"))


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_arrow(tmp_path, kind):
    path = tmp_path / "a"
    stamps = pd.to_datetime(np.int64(1_700_000_000_000_000_001) + (TIMES * 1e9).astype(int), utc=True)
    table = pa.Table.from_pandas(frame(time=stamps, name=["a"] * 4, track_id=pd.Categorical(["p"] * 4)))
    save = pq.write_table if kind == "parquet" else pyarrow.feather.write_feather
    save(table, path)
    track = check(path, kind, clock="utc")[0]
    assert (track.start_ns, track.track) == (1_700_000_000_000_000_001, "p")
    vectors = pa.table({"t": TIMES, "pos": pa.array(POINTS.tolist()), "v": [{"x": 1.0}] * 4})
    save(vectors, path)
    check(path, kind, extra=("v.x",))
    save(pa.table({"time": TIMES, "position": pa.array(["a"] * 4)}), path)
    with pytest.raises(RecordingError, match="position"):
        read(path)
    save(pa.table({"time": pa.array([], pa.float64()), "x": pa.array([], pa.float64())}), path)
    with pytest.raises(RecordingError, match="without rows"):
        read(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordingError, match="damaged"):
        read(path)


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_arrow_streams(tmp_path, kind):
    count = 10_000
    rng = np.random.default_rng(0)
    table = pa.table(
        {"time": np.arange(count) * 0.5, "id": rng.integers(0, 3, count), "x": rng.normal(size=count)}
    )
    path = tmp_path / "a"
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=3000)
    else:
        pyarrow.feather.write_feather(table, path, chunksize=3000)
    whole = {track.track: track for track in read(path)}
    pieces = [
        track for tracks in formats()[kind].stream(Source(path), ReadOptions(), 2000) for track in tracks
    ]
    assert len(pieces) >= 15
    for name, track in whole.items():
        parts = [piece for piece in pieces if piece.track == name]
        np.testing.assert_array_equal(np.concatenate([part.points for part in parts]), track.points)
        np.testing.assert_array_equal(np.concatenate([part.stamps_ns() for part in parts]), track.stamps_ns())
    assert sum(map(len, whole.values())) == count


def test_npy(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, POINTS)
    check(path, "npy", clock="index", rate=10)
    with pytest.raises(RecordingError, match="--rate"):
        read(path)
    np.save(path, np.stack([POINTS, POINTS]).astype(">f8"))
    assert [track.track for track in check(path, "npy", clock="index", rate=10)] == ["1", "2"]
    np.save(path, frame().to_records(index=False))
    check(path, "npy")
    np.save(path, np.column_stack([TIMES * 1.5, POINTS]))
    with pytest.raises(RecordingError, match="several things"):  # all four columns rise
        read(path)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(RecordingError, match="allow_pickle"):
        read(path)


def test_npz(tmp_path):
    path = tmp_path / "a.npz"
    for arrays in (
        {"time": TIMES, "points": POINTS},
        {
            "t": TIMES[:, None],
            "x": POINTS[:, 0],
            "y": POINTS[:, 1],
            "z": POINTS[:, 2],
            "note": np.array("hello"),
        },
    ):
        np.savez(path, **arrays)
        check(path, "npz")
    np.savez_compressed(path, dt=0.1, points=POINTS)
    check(path, "npz")
    np.savez(path, time=TIMES, tracks=np.stack([POINTS, POINTS]))
    assert len(check(path, "npz")) == 2
    np.savez(path, time=TIMES, hand=POINTS, head=POINTS + 1)
    check(path, "npz", position=("hand",))
    np.savez(path, time=np.arange(5), points=POINTS)
    with pytest.raises(RecordingError, match="--rate"):
        read(path)


def test_matlab(tmp_path):
    path = tmp_path / "a.mat"
    for variables in (
        {"time": TIMES, "x": POINTS[:, 0], "y": POINTS[:, 1:2], "z": POINTS[:, 2], "note": "text"},
        {"t": TIMES, "pos": POINTS},
        {"t": TIMES, "pos": POINTS.T.copy()},
        {"log": {"t": TIMES, "pos": POINTS}},
        {"dt": 0.1, "xyz": POINTS},
    ):
        scipy.io.savemat(path, variables)
        check(path, "mat")


def demonstrations():
    """Two paths as 6 x N, position and velocity."""
    times = np.arange(50) * 0.02
    result = []
    for phase in (0.0, 1.0):
        position = np.stack([np.sin(times + phase), np.cos(2 * times), times**2])
        velocity = np.stack([np.cos(times + phase), -2 * np.sin(2 * times), 2 * times])
        result.append(np.concatenate([position, velocity]))
    return result


def test_matlab_demonstrations(tmp_path):
    path = tmp_path / "a.mat"
    cells = np.empty((2, 1), dtype=object)
    cells[:, 0] = demonstrations()
    scipy.io.savemat(path, {"data": cells, "dt": 0.02})
    tracks = read(path)
    assert [track.track for track in tracks] == ["1", "2"]
    for track, matrix in zip(tracks, demonstrations(), strict=True):
        np.testing.assert_array_equal(track.points, matrix[:3].T)
        np.testing.assert_allclose(track.times, np.arange(50) * 0.02, atol=1e-9)
        assert track.clock == "elapsed"
    for matrix in cells[:, 0]:
        matrix[3:] = 1
    scipy.io.savemat(path, {"data": cells, "dt": 0.02})
    with pytest.raises(RecordingError, match="--position"):
        read(path)
    assert read(path, ReadOptions(position=("1", "2", "3"), extra=("4",)))[0].points.shape == (50, 4)


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_content_is_what_scipy_writes(tmp_path, compressed):
    rng = np.random.default_rng(3)
    cells = np.empty((2, 2), dtype=object)
    for i in range(4):
        cells[i % 2, i // 2] = rng.normal(size=(2, i + 1))
    variables = {
        **{
            f"a{kind}": (rng.normal(size=(3, 4)) * 100).astype(kind)
            for kind in ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
        },
        "cube": rng.normal(size=(2, 3, 4)),
        "cells": cells,
        "nested": {"inner": {"values": np.arange(5.0)}, "text": "hello"},
        "complex": np.array([1 + 2j]),
        "empty": np.empty((0, 0)),
    }
    scipy.io.savemat(tmp_path / "a.mat", variables, do_compression=compressed)
    found = load_mat5((tmp_path / "a.mat").read_bytes())
    for name, value in variables.items():
        if name in {"cells", "nested", "complex"}:
            continue
        np.testing.assert_array_equal(found[name], np.atleast_2d(value))
        assert found[name].dtype == value.dtype
    for one, other in zip(found["cells"], cells.reshape(-1, order="F"), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found["nested"]["inner"]["values"], [np.arange(5.0)])
    assert found["complex"] is None
    assert found["nested"]["text"] is None


def test_matlab_73(tmp_path):
    path = tmp_path / "a.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["dt"] = np.array([[0.02]])
        hidden = [file.create_dataset(f"#refs#/{i}", data=each.T) for i, each in enumerate(demonstrations())]
        data = file.create_dataset("data", (1, 2), dtype=h5py.ref_dtype)
        data[0] = [each.ref for each in hidden]
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    tracks = read(path)
    assert len(tracks) == 2
    np.testing.assert_array_equal(tracks[1].points, demonstrations()[1][:3].T)


def test_hdf5(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["run/time"], file["run/pos"], file["run/velocity"] = TIMES, POINTS, POINTS
        file["other"] = np.zeros((7, 7, 7, 7))
    check(path, "hdf5", extra=("velocity",))
    with h5py.File(path, "w") as file:
        for name in ("first", "second"):
            file[f"{name}/time"], file[f"{name}/pos"] = TIMES, POINTS
    assert [track.track for track in check(path, "hdf5")] == ["first", "second"]
    rows = np.zeros(4, dtype=[("trajid", "i8"), ("pos", "f8", 3), ("time", "f8")])
    rows["pos"], rows["time"], rows["trajid"] = POINTS, TIMES, 5
    with h5py.File(path, "w") as file:
        file["particles"] = rows
    assert check(path, "hdf5")[0].track == "5"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RecordingError, match="damaged"):
        read(path)


def test_netcdf_classic(tmp_path):
    path = tmp_path / "a.nc"
    packed = {"units": "m", "scale_factor": 0.1, "add_offset": 5.0, "_FillValue": np.int16(-32768)}
    with scipy.io.netcdf_file(path, "w") as file:
        file.createDimension("obs", 4)
        for name, values, kind, facts in (
            (
                "when",
                [0, 1, 2, 3],
                "i4",
                {"units": "hours since 2020-02-29 00:00:00", "standard_name": "time"},
            ),
            ("latitude", [47, 47, 47, 47], "f8", {"units": "degrees_north"}),
            ("longitude", [11, 11, 11, 11], "f8", {"units": "degrees_east"}),
            ("depth", [100, 200, -32768, 50], "i2", packed),
        ):
            variable = file.createVariable(name, kind, ("obs",))
            variable[:] = values
            for key, value in facts.items():
                setattr(variable, key, value)
    track = read(path)[0]
    assert track.format == "netcdf"
    assert track.start_ns == int(datetime(2020, 2, 29, tzinfo=UTC).timestamp()) * 10**9
    np.testing.assert_array_equal(track.times, [0, 3600, 7200, 10800])
    heights = to_geodetic(track.points, track.origin)[:, 2]
    np.testing.assert_allclose(heights, [-15, -25, np.nan, -10], atol=1e-6)


def test_netcdf_4(tmp_path):
    path = tmp_path / "a.nc"
    with h5py.File(path, "w") as file:
        file["time"] = np.array([0.0, 1.5])
        file["time"].attrs["units"] = "seconds since 1970-01-01T00:00:00+00:00"
        file["x"], file["y"], file["z"] = [1.0, 2.0], [3.0, 4.0], [5.0, 999.0]
        file["z"].attrs["valid_max"] = 100.0
    track = read(path)[0]
    assert (track.format, track.clock, track.start_ns, track.notes) == ("netcdf", "utc", 0, ())
    np.testing.assert_array_equal(track.points, [[1, 3, 5], [2, 4, np.nan]])


POS = """% program   : RTKPOST
% (lat/lon/height=WGS84/ellipsoidal,Q=1:fix,2:float)
%  {clock}          {axes}   Q  ns
{rows}
"""


@pytest.mark.parametrize(
    ("clock", "stamp", "start", "expected"),
    [
        ("GPST", "2270 194670.200", (2270 * 604800 + 194670) * 10**9 + 200_000_000, "gps"),
        ("GPST", "2023/07/11 06:04:30.200", (2270 * 604800 + 194670) * 10**9 + 200_000_000, "gps"),
        ("UTC", "2023/07/11 06:04:12.200", 1_689_055_452_200_000_000, "utc"),
        ("JST", "2023/07/11 15:04:12.200", 1_689_055_452_200_000_000, "utc"),
    ],
)
def test_rtklib(write, clock, stamp, start, expected):
    rows = f"{stamp} 35.1653 136.8814 41.4 1 16\n{stamp} 35.1654 136.8814 41.5 2 12"
    text = POS.format(clock=clock, axes="latitude(deg) longitude(deg)  height(m)", rows=rows)
    track = read(write(text, "a.pos"))[0]
    assert (track.format, track.clock, track.start_ns) == ("rtklib", expected, start)
    assert track.notes == ("1 of 2 solutions are not fixed (1 float)",)
    earth = POS.format(clock=clock, axes="x-ecef(m) y-ecef(m) z-ecef(m)", rows=rows)
    track = read(write(earth, "b.pos"))[0]
    assert (track.frame, track.unit, track.points[0, 0]) == ("itrf", "m", 35.1653)
    line = read(
        write(POS.format(clock=clock, axes="e-baseline(m) n-baseline(m) u-baseline(m)", rows=rows), "c.pos")
    )[0]
    assert (line.frame, line.points[0].tolist()) == ("enu", [35.1653, 136.8814, 41.4])
    with pytest.raises(RecordingError, match=r":5:\d+: '35.x'"):
        read(write(text.replace("35.1654", "35.x"), "d.pos"))


VICON = """Trajectories,,,,,,,
50,,,,,,,
,,Bob:HEAD,,,Bob:HAND,,
Frame,Sub Frame,X,Y,Z,X,Y,Z
,,mm,mm,mm,mm,mm,mm
10,0,1,2,3,4,5,6
11,0,1,2,3,,,
"""


def test_vicon(write):
    head, hand = read(write(VICON, "a.csv"))
    assert (head.format, head.track, hand.track, head.unit) == ("vicon", "Bob:HEAD", "Bob:HAND", "mm")
    assert head.start_ns == 200_000_000
    np.testing.assert_array_equal(head.times, [0, 0.02])
    np.testing.assert_array_equal(hand.points, [[4, 5, 6], [np.nan] * 3])
    devices = "Devices\n1000\n,,Force\nFrame,Sub Frame,Fx\n,,N\n1,0,5\n\n"
    assert len(read(write(devices + VICON, "b.csv"))) == 2
    for before, after, message in (
        ("11,0,1,2,3", "11,0,1,x,3", ":7:4: 'x'"),
        ("11,0,1,2,3,,,", "11,0,1,2", ":7:4: 4 cells"),
        ("50,,", "fast,,", ":2:1: 'fast'"),
        ("X,Y,Z\n", "X,Y,W\n", ":4: axes"),
    ):
        with pytest.raises(RecordingError, match=message):
            read(write(VICON.replace(before, after), "c.csv"))


GLIDER = """Timestamp;NavState;Depth;Lat;Lon;Altitude;
08/09/2020 18:21:47;117;9.9;5142.300;-12813.450;-1.0;
08/09/2020 18:22:47;117;19.9;5142.300;-12813.450;-1.0;
"""


def test_seaexplorer(write):
    track = read(write(gzip.compress(GLIDER.encode()), "sea.gli.sub.1.gz"))[0]
    assert track.format == "seaexplorer"
    assert track.start_ns == int(datetime(2020, 9, 8, 18, 21, 47, tzinfo=UTC).timestamp()) * 10**9
    degrees = to_geodetic(track.points, track.origin)
    np.testing.assert_allclose(degrees[0], [51 + 42.3 / 60, -(128 + 13.45 / 60), -9.9], atol=1e-9)
    np.testing.assert_allclose(track.points[1, 2], -10, atol=1e-6)
    with pytest.raises(RecordingError, match=":3:4: 5162.3 as degrees"):
        read(write(GLIDER.replace("47;117;19.9;5142.300", "47;117;19.9;5162.300"), "b"))


@pytest.mark.parametrize("rows", [1, 7, 25, 1000])
def test_batches_of_parquet_hold_every_row_once(tmp_path, rows):
    """Whatever the sizes of row groups, and however many rows are wanted at once."""
    path = tmp_path / "a.parquet"
    with pq.ParquetWriter(path, pa.schema([("n", pa.int64())])) as writer:
        start = 0
        for size in (3, 1, 40, 10, 10, 2):
            writer.write_table(pa.table({"n": np.arange(start, start + size)}))
            start += size
    batches = list(parquet_batches(pq.ParquetFile(path), rows, ["n"]))
    assert np.concatenate([batch.column(0).to_numpy() for batch in batches]).tolist() == list(range(start))
    assert max(map(len, batches)) <= rows
