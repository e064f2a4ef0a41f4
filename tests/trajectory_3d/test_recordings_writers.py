"""What is written is read back as it was."""

import csv
import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings import Origin, RecordingError, Trajectory, read
from examples.trajectory_3d.recordings.geodesy import to_local
from examples.trajectory_3d.recordings.trajectory import CLOCKS, NANOSECONDS
from examples.trajectory_3d.recordings.writers import output_formats, write

_LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
_VALUES = st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")), st.floats(-1e-300, 1e-300))
_PLACES = st.tuples(st.floats(-80, 80), st.floats(-179, 179), st.floats(-400, 12_000))


_NAMES = st.sampled_from([("x",), ("x", "y"), ("x", "y", "z"), ("x", "y", "z", "vx", "odd name")])


@st.composite
def tracks(draw, *, names=_NAMES, geodetic=False, clocks=CLOCKS, smallest=1):
    columns = draw(names)
    count = draw(st.integers(smallest, 6))
    steps = draw(st.lists(st.integers(-1_000_000, 10**12), min_size=count, max_size=count))
    stamps = np.cumsum([0, *steps])[:count]
    origin = None
    if geodetic:
        places = np.array(draw(st.lists(_PLACES, min_size=1, max_size=1)) * count)
        places += np.array(
            draw(st.lists(st.floats(-0.5, 0.5), min_size=3 * count, max_size=3 * count))
        ).reshape(-1, 3)
        local, origin = to_local(*places.T)
        lost = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        local[np.array(lost)] = np.nan
        extra = len(columns) - 3
        rest = draw(st.lists(_VALUES, min_size=count * extra, max_size=count * extra))
        points = np.hstack([local, np.array(rest).reshape(count, extra)])
    else:
        values = draw(st.lists(_VALUES, min_size=count * len(columns), max_size=count * len(columns)))
        points = np.array(values).reshape(count, len(columns))
    return Trajectory(
        stamps / NANOSECONDS,
        points,
        columns,
        unit="m" if geodetic else draw(st.sampled_from(["m", "km", "unknown"])),
        frame="enu" if geodetic else draw(st.sampled_from(["xyz", "y-up", "ned"])),
        clock=draw(st.sampled_from(clocks)),
        start_ns=draw(st.integers(-(10**18), 2 * 10**18)),
        track=draw(_LABELS),
        origin=origin,
        notes=tuple(draw(st.lists(_LABELS, max_size=2))),
    )


def _same(one: Trajectory, other: Trajectory, *, within: float = 0.0) -> None:
    for what in ("names", "unit", "frame", "clock", "track", "origin", "notes"):
        assert getattr(one, what) == getattr(other, what), what
    assert one.stamps_ns().tolist() == other.stamps_ns().tolist()
    if within:
        assert np.allclose(one.points, other.points, rtol=0, atol=within, equal_nan=True)
    else:
        assert np.array_equal(one.points, other.points, equal_nan=True)


_TUM_NAMES = st.sampled_from([("x", "y", "z"), ("x", "y", "z", "qx", "qy", "qz", "qw")])


@settings(max_examples=60, deadline=None)
@given(track=tracks(names=_TUM_NAMES))
def test_tum_text_is_read_back_as_it_was(tmp_path_factory, track):
    path = tmp_path_factory.mktemp("w") / "a.tum"
    write(path, [track])
    (back,) = read(path) if _is_certain(path) else _read_as(path, "tum")
    _same(track, back)


def _is_certain(path) -> bool:
    """Quaternions drawn at random are none, and such text is not told to be TUM."""
    try:
        return read(path)[0].format == "tum"
    except RecordingError:
        return False


def _read_as(path, name: str):
    from examples.trajectory_3d.recordings import ReadOptions

    return read(path, ReadOptions(format=name))


@settings(max_examples=60, deadline=None)
@given(
    written=st.lists(
        st.booleans().flatmap(
            lambda geodetic: (
                tracks(geodetic=geodetic, names=st.just(("x", "y", "z", "vx"))) if geodetic else tracks()
            )
        ),
        min_size=1,
        max_size=3,
    )
)
def test_json_is_read_back_as_it_was(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("w") / "a.json"
    write(path, written)
    for one, other in zip(written, read(path), strict=True):
        _same(one, other)
        assert one.start_ns == other.start_ns
        assert one.times.tolist() == other.times.tolist()


@settings(max_examples=60, deadline=None)
@given(
    written=st.lists(
        tracks(geodetic=True, names=st.sampled_from([("x", "y", "z"), ("x", "y", "z", "speed")])),
        min_size=1,
        max_size=3,
    )
)
def test_geojson_is_read_back_as_it_was(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("w") / "a.geojson"
    write(path, written)
    for one, other in zip(written, read(path), strict=True):
        _same(one, other, within=1e-6)
    content = json.loads(path.read_text())
    for feature, track in zip(content["features"], written, strict=True):
        known = int(np.isfinite(track.points[:, :3]).all(axis=1).sum())
        kind = None if feature["geometry"] is None else feature["geometry"]["type"]
        assert kind == {0: None, 1: "Point"}.get(known, "LineString")
        assert len(feature["properties"].get("times", range(known))) == known


@settings(max_examples=40, deadline=None)
@given(track=tracks(), more=st.integers(0, 2))
def test_csv_has_exact_times_and_numbers(tmp_path_factory, track, more):
    path = tmp_path_factory.mktemp("w") / "a.csv"
    write(path, [track] * (1 + more))
    with path.open(encoding="utf-8", newline="") as file:
        assert file.readline() == f"# clock: {track.clock}\n"
        assert file.readline() == f"# frame: {track.frame}\n"
        rows = list(csv.reader(file))
    unit = "" if track.unit == "unknown" else f" [{track.unit}]"
    assert rows[0][:3] == ["track", "time [s]", f"x{unit}"]
    assert len(rows) == 1 + len(track) * (1 + more)
    body = rows[1 : 1 + len(track)]
    assert [int(Decimal(row[1]) * NANOSECONDS) for row in body] == track.stamps_ns().tolist()
    values = np.array([[float(cell or "nan") for cell in row[2:]] for row in body]).reshape(
        track.points.shape
    )
    assert np.array_equal(values, track.points, equal_nan=True)
    assert {row[0] for row in body} == {track.track}


def test_csv_of_places_on_earth_has_degrees_again(tmp_path):
    import pandas as pd

    places = np.array([[47.0, 8.0, 400.0], [47.001, 8.002, 410.0], [47.002, 8.003, 420.0]])
    local, origin = to_local(*places.T)
    points = np.hstack([local, [[1.0], [2.0], [3.0]]])
    track = Trajectory(
        np.array([0, 1, 2.5]),
        points,
        ("x", "y", "z", "speed"),
        unit="m",
        frame="enu",
        clock="utc",
        origin=origin,
    )
    write(tmp_path / "a.csv", [track])
    table = pd.read_csv(tmp_path / "a.csv", comment="#")
    assert list(table)[2:] == ["latitude [deg]", "longitude [deg]", "altitude [m]", "speed"]
    assert np.allclose(table.iloc[:, 2:5], places, rtol=0, atol=1e-8)
    assert "frame" not in (tmp_path / "a.csv").read_text()


@settings(max_examples=40, deadline=None)
@given(
    written=st.lists(tracks(), min_size=1, max_size=3),
    place=tracks(geodetic=True, names=st.just(("x", "y", "z"))),
)
def test_parquet_holds_every_sample_and_describes_every_track(tmp_path_factory, written, place):
    import pyarrow.parquet as pq

    path = tmp_path_factory.mktemp("w") / "a.parquet"
    written = [*written, place]
    write(path, written)
    table = pq.read_table(path)
    described = json.loads(table.schema.metadata[b"trajectory-3d"])["tracks"]
    utc = all(each.clock == "utc" for each in written)
    stamps = table["time" if utc else "time_ns"].cast("int64").to_pylist()
    assert stamps == [stamp for each in written for stamp in each.stamps_ns().tolist()]
    assert table["track"].to_pylist() == [each.track for each in written for _ in range(len(each))]
    start = 0
    for track, facts in zip(written, described, strict=True):
        part = table.slice(start, facts["samples"])
        start += facts["samples"]
        values = np.stack([part[name].to_numpy() for name in facts["names"]], axis=1)
        assert np.array_equal(values, track.points, equal_nan=True)
        assert (facts["unit"], facts["frame"], facts["clock"], facts["start_ns"]) == (
            track.unit, track.frame, track.clock, track.start_ns,
        )  # fmt: skip
    assert start == table.num_rows
    assert {"latitude", "longitude", "altitude"} <= set(table.column_names)


_TRACK = Trajectory(np.array([0.0, 1.0]), np.ones((2, 3)), unit="m")


def test_a_format_is_chosen_by_name_or_suffix(tmp_path):
    assert sorted(output_formats()) == ["csv", "geojson", "json", "parquet", "tum"]
    write(tmp_path / "a.dat", [_TRACK], format="tum")
    assert read(tmp_path / "a.dat")[0].format == "tum"
    with pytest.raises(RecordingError, match=r"suffix '\.dat'.*\.csv"):
        write(tmp_path / "b.dat", [_TRACK])
    with pytest.raises(RecordingError, match="'parket'.*parquet"):
        write(tmp_path / "b.dat", [_TRACK], format="parket")
    with pytest.raises(RecordingError, match="nothing to write"):
        write(tmp_path / "b.csv", [])


@pytest.mark.parametrize(
    ("name", "written", "words"),
    [
        ("a.tum", [_TRACK, _TRACK], "one track fits"),
        ("a.tum", [Trajectory(np.zeros(1), np.zeros((1, 2)), ("x", "y"))], "columns x, y"),
        ("a.tum", [Trajectory(np.zeros(1), np.full((1, 3), np.inf))], "infinity"),
        ("a.json", [Trajectory(np.zeros(1), np.full((1, 3), np.inf))], "JSON"),
        ("a.geojson", [_TRACK], "not on Earth"),
        ("a.csv", [_TRACK, Trajectory(np.zeros(1), np.zeros((1, 3)), unit="km")], "differ in unit"),
        (
            "a.csv",
            [_TRACK, Trajectory(np.zeros(1), np.zeros((1, 3)), unit="m", origin=Origin(0, 0, 0))],
            "some have none",
        ),
        ("a.parquet", [Trajectory(np.zeros(1), np.zeros((1, 1)), ("track",))], "'track'"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_and_the_old_file_stays(tmp_path, name, written, words):
    path = tmp_path / name
    path.write_text("old")
    with pytest.raises(RecordingError, match=words):
        write(path, written)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_our_json_says_what_is_wrong_with_it(tmp_path):
    path = tmp_path / "a.json"
    write(path, [_TRACK])
    whole = json.loads(path.read_text())
    for key, value, words in (
        ("points", [[1, 2, 3]], "2 rows"),
        ("points", [[1, 2, 3], [1, 2, "x"]], r"points\[1\]"),
        ("times_ns", [0, 0.5], "whole nanoseconds"),
        ("clock", "moon", "clock is none of"),
        ("unit", "parsec", "unit must be"),
        ("origin", [100, 0, 0], "no place on Earth"),
        ("names", [], "names is empty"),
    ):
        path.write_text(json.dumps({**whole, "tracks": [{**whole["tracks"][0], key: value}]}))
        with pytest.raises(RecordingError, match=words):
            read(path)
    path.write_text(json.dumps({**whole, "version": 2}))
    with pytest.raises(RecordingError, match="version 2"):
        read(path)
    path.write_text('{"format": "trajectory-3d",\n "version": 1, "tracks": [}')
    with pytest.raises(RecordingError) as caught:
        read(path)
    assert (caught.value.line, caught.value.column) == (2, 27)
