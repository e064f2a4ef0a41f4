"""Files of tables that are damaged, cut or random give a `RecordingError`, and nothing else."""

import gzip
import io
import json

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings import ReadOptions, RecordingError, read
from examples.trajectory_3d.recordings.registry import find_format
from examples.trajectory_3d.recordings.source import Source

MINE = (
    "csv",
    "feather",
    "hdf5",
    "json",
    "jsonl",
    "mat",
    "netcdf",
    "npy",
    "npz",
    "parquet",
    "rtklib",
    "seaexplorer",
    "vicon",
)
# Always the same damage: there is some on which libhdf5 never returns, and a test must.
quick = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def _binary(write):
    stream = io.BytesIO()
    return write(stream) or stream.getvalue()


def _hdf5(stream):
    with h5py.File(stream, "w") as file:
        file["time"], file["pos"] = np.arange(9.0), np.ones((9, 3))


def _netcdf(stream):
    file = scipy.io.netcdf_file(stream, "w")
    file.createDimension("n", 3)
    for name in ("time", "x", "y", "z"):
        file.createVariable(name, "f8", ("n",))[:] = [0, 1, 2]
    file.flush()
    return stream.getvalue()  # the file closes the stream


def _netcdf_4(stream):
    with h5py.File(stream, "w") as file:
        file.attrs["_NCProperties"] = np.bytes_("version=2")
        for name in ("time", "x", "y"):
            file[name] = np.arange(3.0)
        # Of fixed length, as the netCDF library writes: on some damaged heaps of texts libhdf5 never returns.
        file["time"].attrs["units"] = np.bytes_("days since 2000-01-01")


TABLE = {"time": np.arange(9.0), "x": np.ones(9), "y": np.ones(9), "z": np.zeros(9)}
SAMPLES = {
    "csv": b"time,x,y,z\n" + b"".join(b"%d,1,2.5,%d\n" % (i, i * i) for i in range(9)),
    "dates": b"date;time;id;lat;lon;alt\n"
    + b"".join(b"09.05.2018;14:59:%02d;a;47,5;11;5\n" % i for i in range(9)),
    "json": json.dumps([{"time": i, "x": i, "y": 1.5, "z": [1]} for i in range(9)]).encode(),
    "jsonl": b"".join(b'{"time": %d, "x": 1, "y": 2}\n' % i for i in range(9)),
    "parquet": _binary(lambda stream: pq.write_table(pa.table(TABLE), stream)),
    "feather": _binary(
        lambda stream: pyarrow.feather.write_feather(pa.table(TABLE), stream, compression="uncompressed")
    ),
    "npy": _binary(lambda stream: np.save(stream, np.ones((9, 3)))),
    "npz": _binary(lambda stream: np.savez(stream, **TABLE)),
    "mat": _binary(lambda stream: scipy.io.savemat(stream, TABLE)),
    "hdf5": _binary(_hdf5),
    "netcdf": _binary(_netcdf),
    "netcdf4": _binary(_netcdf_4),
    "rtklib": b"%  GPST  latitude(deg) longitude(deg) height(m) Q\n2270 1.5 47 11 5 1\n2270 2.5 47 11 6 2\n",
    "vicon": b"Trajectories\n50\n,,A\nFrame,Sub Frame,X,Y,Z\n,,mm,mm,mm\n1,0,1,2,3\n2,0,1,2,\n",
    "seaexplorer": b"Timestamp;NavState;Depth;Lat;Lon;\n08/09/2020 18:21:47;1;9;5142.3;-12813.4;\n",
}


def attempt(path, content, **options):
    path.write_bytes(content)
    try:
        tracks = read(path, ReadOptions(**options))
    except RecordingError:
        return
    assert tracks
    for track in tracks:
        assert len(track)
        assert track.points.dtype == np.float64


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_read(tmp_path, name):
    path = tmp_path / "a"
    path.write_bytes(SAMPLES[name])
    found = find_format(Source(path), ReadOptions()).name
    assert found == {"dates": "csv", "netcdf4": "netcdf"}.get(name, name)
    assert sum(map(len, read(path, ReadOptions(rate=10) if name == "npy" else None))) >= 1


@pytest.mark.parametrize("name", SAMPLES)
@quick
@given(data=st.data())
def test_changed_bytes_never_crash(tmp_path, name, data):
    content = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    attempt(tmp_path / "a", bytes(content), rate=10)


@pytest.mark.parametrize("name", SAMPLES)
@quick
@given(share=st.floats(0, 1))
def test_cut_files_never_crash(tmp_path, name, share):
    content = SAMPLES[name]
    cut = content[: int(share * len(content))]
    attempt(tmp_path / "a", cut)
    attempt(tmp_path / "a.gz", gzip.compress(content)[: 2 + int(share * 40)])


@pytest.mark.parametrize("name", MINE)
@quick
@given(content=st.binary(min_size=1, max_size=300))
def test_random_bytes_never_crash(tmp_path, name, content):
    attempt(tmp_path / "a", content, format=name, rate=5)
    attempt(tmp_path / "a", content)


CELLS = st.text("0123456789.,;-+eE:/ \t\"'#%TZnaxyz\u00e9\n\r", max_size=60)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    header=st.sampled_from(["time,x,y,z\n", "date;lat;lon\n", "t x y\n", "id\ttime\tx\n", ""]), cells=CELLS
)
def test_texts_of_cells_never_crash(tmp_path, header, cells):
    attempt(tmp_path / "a.csv", (header + cells).encode())
    attempt(tmp_path / "a.csv", (header + cells).encode(), time="1", position=("2",), track="3")


NUMBERS = st.floats(allow_nan=True, allow_infinity=False)


@quick
@given(
    rows=st.lists(
        st.tuples(st.integers(-(10**17), 10**17), st.integers(0, 2), NUMBERS, NUMBERS, NUMBERS),
        min_size=1,
        max_size=30,
    )
)
def test_what_is_written_is_read(tmp_path, rows):
    path = tmp_path / "a.csv"
    lines = [f"{t},{who},{x!r},{y!r},{z!r}" for t, who, x, y, z in rows]
    path.write_text("\n".join(["time_ns,track_id,x,y,z", *lines]))
    tracks = read(path)
    assert [track.track for track in tracks] == [str(who) for who in dict.fromkeys(row[1] for row in rows)]
    for track in tracks:
        own = [row for row in rows if str(row[1]) == track.track]
        assert track.start_ns == own[0][0]
        np.testing.assert_array_equal(track.points, np.array([row[2:] for row in own]))


def test_names_that_are_no_text_are_read(tmp_path):
    """h5py gives the bytes of a name that is no UTF-8; found by a changed byte."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["time"] = np.arange(5.0)
        file["x"] = np.arange(5.0)
        file[b"\x80"] = np.arange(5.0)
    (track,) = read(path, ReadOptions(position=("x",), time="time"))
    assert track.points[:, 0].tolist() == [0, 1, 2, 3, 4]
