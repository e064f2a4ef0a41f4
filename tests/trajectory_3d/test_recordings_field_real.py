"""Real recordings of the field formats, against the facts that are known of each; skipped where absent."""

import math
from pathlib import Path

import numpy as np
import pytest
from test_recordings_field_formats import _naive_bvh

from examples.trajectory_3d.recordings import ReadOptions, RecordingError, Trajectory, read
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.writers import write

_FOLDER = Path(__file__).parents[2] / "../shared/data/real/free"
pytestmark = pytest.mark.skipif(not _FOLDER.is_dir(), reason="the real recordings are not here")

# File, format, tracks, samples, seconds of the longest track, rate, extent of the track with most samples.
_FACTS = [
    ("slam/tum_fr1_xyz_groundtruth.txt", "tum", 1, 3000, 30.1, 100, (0.457, 0.697, 0.44)),
    ("slam/georeferenced_utm.tum", "tum", 1, 1000, 22.5 * 60, 0.7143, (178, 154, 10.3)),
    ("slam/tumvi_room4_mocap0.csv", "euroc", 1, 8000, 68.4, 120, (3.41, 2.18, 0.882)),
    ("slam/rpng_table_01.txt", "tum", 1, 4000, 40, 100, (3.55, 3.78, 0.469)),
    ("drone/px4_format_check_only.ulg", "ulog", 1, 95, 9.54, 9.846, (0, 0, 0.242)),
    ("mocap/wheelchair_racing_propulsion.c3d", "c3d", 35, 24500, 9.99, 69.99, (0.0102, 0.0085, 0.00963)),
    ("mocap/shoulder_markers_comma.trc", "trc", 51, 4743, 0.92, 100, (10.3, 3.29, 1.08)),
    ("mocap/cmu_131_01_start_walk_stop.bvh", "bvh", 31, 30814, 8.27, 120, (15.5, 8.31, 47)),
    ("space/igs19362_gps.sp3", "sp3", 32, 3072, 23.75 * 3600, 1 / 900, (4.52e4, 4.49e4, 4.37e4)),
    ("space/grg21553_gps_glonass.sp3", "sp3", 51, 2805, 4.5 * 3600, 1 / 300, (2.98e4, 9.43e3, 2.97e4)),
    (
        "space/artemis1_orion_asflown_part1.oem",
        "oem",
        1,
        5600,
        15.44 * 86400,
        1 / 240,
        (7.1e5, 3.44e5, 1.91e5),
    ),
    ("space/iss_2021-08_oem.xml", "oem-xml", 1, 1000, 2.775 * 86400, 1 / 240, (1.12e4, 1.24e4, 1.07e4)),
    ("space/stations_2024-05.tle", "tle", 27, 3240, 119 * 60, 1 / 60, (1.23e4, 1.02e4, 1.06e4)),
    ("gnss/olsztyn.igc", "igc", 1, 2469, 4.93 * 3600, 0.125, (6.39e4, 3.35e4, 1.29e3)),
    ("gnss/napret.igc", "igc", 1, 5380, 89.7 * 60, 1, (7.51e3, 5.26e3, 884)),
    ("gnss/new_zealand.igc", "igc", 1, 5367, 4.34 * 3600, 0.333, (7.59e4, 7.31e4, 1.42e3)),
    ("gnss/ride_edge810.fit", "fit", 1, 4700, 78.3 * 60, 1, (5.98e3, 6.85e3, 119)),
    ("gnss/run_fenix2.fit", "fit", 1, 2809, 47.2 * 60, 1, (1.59e3, 820, 107)),
    ("gnss/hike_korita_zbevnica.gpx", "gpx", 2, 513, 2.37 * 3600, 0.0909, (1.75e3, 1.15e3, 253)),
    ("gnss/radiosonde_2023-01-17_1123.kmz", "kml", 1, 4473, 4472, 1, (3.09e4, 7.82e4, 3.06e4)),
]


def _extent(track: Trajectory) -> np.ndarray:
    """Of the position; upwards of the altitude, since over tens of kilometres Earth falls away below."""
    extent = np.nanmax(track.position, axis=0) - np.nanmin(track.position, axis=0)
    if track.origin is not None:
        altitude = to_geodetic(track.position, track.origin)[:, 2]
        extent[2] = np.nanmax(altitude) - np.nanmin(altitude)
    return extent


@pytest.mark.parametrize(
    ("name", "form", "count", "samples", "seconds", "rate", "extent"),
    _FACTS,
    ids=[each[0] for each in _FACTS],
)
def test_each_recording_is_read_whole(name, form, count, samples, seconds, rate, extent):
    if form == "fit":
        pytest.importorskip("fitdecode")
    found = read(_FOLDER / name, ReadOptions(rate=1.0) if form == "kml" else None)
    assert (found[0].format, len(found)) == (form, count)
    assert sum(map(len, found)) == samples
    longest = max(found, key=lambda track: (np.isfinite(track.points).all(axis=1).sum(), len(track)))
    spans = [float(track.times[-1] - track.times[0]) for track in found]
    assert max(spans) == pytest.approx(seconds, rel=0.01)
    steps = np.sort(np.diff(longest.times))
    assert 1 / steps[len(steps) // 2] == pytest.approx(rate, rel=0.002)
    # The known extents of places on Earth are of a sphere, which is 0.7 % off at most.
    assert _extent(longest) == pytest.approx(extent, rel=0.01, abs=1e-6)


def test_lost_samples_and_lies_of_headers_are_told():
    chair = read(_FOLDER / "mocap/wheelchair_racing_propulsion.c3d")
    assert sum(int(np.isnan(track.points[:, 0]).sum()) for track in chair) == 2184
    assert chair[0].notes == ("6 markers of 41 never seen",)
    shoulder = read(_FOLDER / "mocap/shoulder_markers_comma.trc")
    assert shoulder[0].notes == ("the header says 652 frames, the file has 93",)
    orion = read(_FOLDER / "space/artemis1_orion_asflown_part1.oem")[0]
    assert "STOP_TIME 2022-12-11T17:20:44.316" in orion.notes[0]
    hike = read(_FOLDER / "gnss/hike_korita_zbevnica.gpx")[0]
    assert "358 points left out" in hike.notes[0]
    with pytest.raises(RecordingError, match="--rate"):
        read(_FOLDER / "gnss/radiosonde_2023-01-17_1123.kmz")


def test_c3d_equals_ezc3d():
    ezc3d = pytest.importorskip("ezc3d")
    path = _FOLDER / "mocap/wheelchair_racing_propulsion.c3d"
    reference = ezc3d.c3d(str(path))
    labels = reference["parameters"]["POINT"]["LABELS"]["value"]
    for track in read(path):
        expected = reference["data"]["points"][:3, labels.index(track.track)].T
        assert np.array_equal(track.points, expected, equal_nan=True)


def test_ulog_equals_pyulog():
    pyulog = pytest.importorskip("pyulog")
    path = _FOLDER / "drone/px4_format_check_only.ulg"
    (track,) = read(path)
    data = pyulog.ULog(str(path), ["vehicle_local_position"]).data_list[0].data
    assert np.array_equal(track.points, np.stack([data[name] for name in track.names], axis=1))
    assert track.stamps_ns().tolist() == [1000 * int(stamp) for stamp in data["timestamp"]]


def test_bvh_equals_a_naive_chain_of_matrices():
    path = _FOLDER / "mocap/cmu_131_01_start_walk_stop.bvh"
    expected = _naive_bvh(path.read_text(), frames=5)
    for track in read(path):
        assert np.allclose(track.points[:5], expected[track.track], rtol=0, atol=1e-9)


def test_gps_satellites_stay_at_their_radius():
    for track in read(_FOLDER / "space/igs19362_gps.sp3"):
        assert np.linalg.norm(track.position, axis=1).mean() == pytest.approx(26_560, rel=0.002)


@pytest.mark.parametrize("name", ["space/iss_2021-08_oem.xml", "space/artemis1_orion_asflown_part1.oem"])
def test_velocities_are_the_derivative_of_positions(name):
    track = read(_FOLDER / name)[0]
    steps = np.diff(track.times)
    position, velocity = track.points[:, :3], track.points[:, 3:6]
    # By Hermite's rule: p1 - p0 = h (v0 + v1) / 2 - h^2 (a1 - a0) / 12 + O(h^5); accelerations of
    # a spherical Earth, whose flattening and the rest of the series are some 1e-5 of a step of 4 minutes.
    gravity = -398600.4418 * position / np.linalg.norm(position, axis=1, keepdims=True) ** 3
    step = steps[:, None]
    moved = step * (velocity[:-1] + velocity[1:]) / 2 - step**2 * np.diff(gravity, axis=0) / 12
    error = np.linalg.norm(np.diff(position, axis=0) - moved, axis=1)
    regular = np.isclose(steps, 240)
    assert np.median(error[regular] / np.linalg.norm(np.diff(position, axis=0), axis=1)[regular]) < 1e-4


def test_the_space_station_keeps_its_radius():
    station = read(_FOLDER / "space/iss_2021-08_oem.xml")[0]
    radius = np.linalg.norm(station.position, axis=1)
    assert 6_780 < radius.min() < radius.max() < 6_810
    speed = np.linalg.norm(station.points[:, 3:6], axis=1)
    assert speed.mean() == pytest.approx(math.sqrt(398600.4418 / radius.mean()), rel=1e-3)


def test_a_glider_passes_midnight():
    (track,) = read(_FOLDER / "gnss/new_zealand.igc")
    assert (np.diff(track.times) > 0).all()
    days = track.stamps_ns() // (86_400 * 10**9)
    assert days[-1] == days[0] + 1


def test_gpx_equals_gpxpy():
    gpxpy = pytest.importorskip("gpxpy")
    path = _FOLDER / "gnss/hike_korita_zbevnica.gpx"
    points = [point for _, point in _timed_points(gpxpy.parse(path.read_text()))]
    tracks = read(path)
    places = np.concatenate([to_geodetic(each.position, each.origin) for each in tracks])
    expected = [(each.latitude, each.longitude, each.elevation) for each in points]
    assert np.allclose(places, expected, rtol=0, atol=1e-6)
    stamps = np.concatenate([each.stamps_ns() for each in tracks])
    assert stamps.tolist() == [int(each.time.timestamp()) * 10**9 for each in points]


def _timed_points(content):
    for track in content.tracks:
        for segment in track.segments:
            for point in segment.points:
                if point.time:
                    yield segment, point


@pytest.mark.parametrize(
    "name", ["slam/tum_fr1_xyz_groundtruth.txt", "space/iss_2021-08_oem.xml", "gnss/napret.igc"]
)
def test_real_tracks_are_written_and_read_back(tmp_path, name):
    tracks = read(_FOLDER / name)
    formats = {"slam": ["tum"], "gnss": ["geojson"], "space": []}[name.split("/", maxsplit=1)[0]]
    for form in ["json", *formats]:
        path = tmp_path / f"a.{form}"
        write(path, tracks)
        (back,) = read(path)
        assert back.stamps_ns().tolist() == tracks[0].stamps_ns().tolist()
        within = 1e-6 if form == "geojson" else 0
        assert np.allclose(back.points, tracks[0].points, rtol=0, atol=within, equal_nan=True)
