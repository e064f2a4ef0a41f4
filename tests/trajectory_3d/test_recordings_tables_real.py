"""Real recordings held by tables, against what their catalogue says; skipped where they are absent."""

from pathlib import Path

import numpy as np
import pytest

from examples.trajectory_3d.recordings import ReadOptions, read
from examples.trajectory_3d.recordings.geodesy import to_geodetic

FOLDER = Path(__file__).parents[2] / "../shared/data/real/free"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the real recordings are not here")

# File, options, format, tracks, samples, rate, longest in seconds, extents (the third of altitudes if there
# are any), lost samples, unit, frame, clock.
CATALOGUE = [
    (
        "drone/qdr_vertical_01_GT.csv",
        {},
        "csv",
        1,
        326,
        10,
        32.5,
        (19.5, 68.2, 22),
        0,
        "unknown",
        "ned",
        "elapsed",
    ),
    (
        "drone/qdr_horizontal_11_GT.csv",
        {},
        "csv",
        1,
        552,
        10,
        55.1,
        (59.1, 112, 0.701),
        0,
        "unknown",
        "ned",
        "elapsed",
    ),
    (
        "drone/qdr_vertical_07_GT.csv",
        {},
        "csv",
        1,
        234,
        10,
        23.3,
        (23.5, 48.7, 3.1),
        0,
        "unknown",
        "ned",
        "elapsed",
    ),
    (
        "drone/crazyflie_real_path_001.csv",
        {"rate": 100, "unit": "m"},
        "csv",
        1,
        7950,
        100,
        79.5,
        (3.71, 2.2, 2.04),
        0,
        "m",
        "xyz",
        "index",
    ),
    (
        "drone/crazyflie_real_path_008.csv",
        {"rate": 100},
        "csv",
        1,
        4800,
        100,
        48,
        (2.92, 1.52, 2.08),
        0,
        "unknown",
        "xyz",
        "index",
    ),
    (
        "mocap/vicon_nexus_box_lift.csv",
        {},
        "vicon",
        51,
        12750,
        100,
        2.49,
        (449, 158, 139),
        177,
        "mm",
        "xyz",
        "elapsed",
    ),
    (
        "aircraft/zero_gravity.json.gz",
        {},
        "json",
        1,
        10367,
        1,
        10368,
        (2.32e5, 4.98e5, 9.17e3),
        0,
        "m",
        "enu",
        "utc",
    ),
    (
        "aircraft/franconia.json.gz",
        {},
        "json",
        1,
        2697,
        0.143,
        27036,
        (1.74e5, 8.76e4, 1.47e3),
        0,
        "m",
        "enu",
        "utc",
    ),
    (
        "aircraft/noisy_landing.json.gz",
        {},
        "json",
        1,
        848,
        1,
        848,
        (1.76e4, 7.53e4, 8.93e3),
        0,
        "m",
        "enu",
        "utc",
    ),
    (
        "aircraft/funchal.json.gz",
        {},
        "json",
        1,
        2756,
        0.2,
        13788,
        (4.68e4, 9.33e4, 2.45e3),
        0,
        "m",
        "enu",
        "utc",
    ),
    (
        "aircraft/opensky_state_vectors.parquet",
        {},
        "parquet",
        1,
        3600,
        1,
        3600,
        (6.82e4, 1.88e5, 1.17e4),
        6,
        "m",
        "enu",
        "utc",
    ),
    ("gnss/car_rtk_part1.pos", {}, "rtklib", 1, 3600, 5, 834, (578, 1600, 44.7), 0, "m", "enu", "gps"),
    (
        "animals/oystercatcher_2018_gps.csv.gz",
        {},
        "csv",
        2,
        6500,
        0.00168,
        56.2 * 86400,
        (4100, 3790, 247),
        0,
        "m",
        "enu",
        "utc",
    ),
    (
        "cells/t_cells_part1.txt",
        {"time": "3", "position": ("4", "5", "6"), "track": "2", "unit": "um"},
        "csv",
        172,
        4124,
        0.0417,
        936,
        (24.5, 12.9, 20),
        0,
        "um",
        "xyz",
        "elapsed",
    ),
    (
        "sea/glider_dfo-eva035_L0.nc",
        {},
        "netcdf",
        1,
        5521,
        0.0333,
        46 * 3600,
        (2.88e4, 1.32e4, 705),
        477,
        "m",
        "enu",
        "utc",
    ),
    (
        "sea/seaexplorer_sea046_gli_11.csv.gz",
        {},
        "seaexplorer",
        1,
        143,
        0.05,
        46.5 * 60,
        (1130, 120, 130),
        0,
        "m",
        "enu",
        "utc",
    ),
    (
        "sea/seaexplorer_sea046_gli_12.csv.gz",
        {},
        "seaexplorer",
        1,
        135,
        0.05,
        42.6 * 60,
        (437, 86.6, 129),
        0,
        "m",
        "enu",
        "utc",
    ),
    (
        "robot/kuka_3D-pick-box.mat",
        {"unit": "m"},
        "mat",
        4,
        2237,
        92.66,
        7.14,
        (0.229, 0.234, 0.326),
        0,
        "m",
        "xyz",
        "elapsed",
    ),
    (
        "robot/kuka_3D_viapoint_2.mat",
        {"unit": "m"},
        "mat",
        15,
        8334,
        96.71,
        6.8,
        (0.047, 0.741, 0.296),
        0,
        "m",
        "xyz",
        "elapsed",
    ),
]


def extents(track):
    points = track.position[np.isfinite(track.position).all(axis=1)]
    size = np.ptp(points, axis=0)
    if track.origin is not None:  # the plane's up falls away from the Earth's on long paths
        size[2] = np.ptp(to_geodetic(points, track.origin)[:, 2])
    return size


@pytest.mark.parametrize("row", CATALOGUE, ids=[row[0] for row in CATALOGUE])
def test_recording_is_what_its_catalogue_says(row):
    file, options, name, count, samples, rate, longest, size, lost, unit, frame, clock = row
    tracks = read(FOLDER / file, ReadOptions(**options))
    assert (len(tracks), sum(map(len, tracks))) == (count, samples)
    largest = max(tracks, key=len)
    assert (largest.format, largest.unit, largest.frame, largest.clock) == (name, unit, frame, clock)
    assert 1 / np.median(np.diff(np.sort(largest.times))) == pytest.approx(rate, rel=0.01)
    assert max(np.ptp(track.times) for track in tracks) == pytest.approx(longest, rel=0.005)
    assert sum(int(np.isnan(track.position).any(axis=1).sum()) for track in tracks) == lost
    # The catalogue's metres come from another projection, which differs by up to 3 % on the longest paths.
    np.testing.assert_allclose(extents(largest), size, rtol=0.03 if largest.origin else 0.005)


def test_fibres():
    options = ReadOptions(time="9", position=("2", "3", "4"), track="1", unit="mm", rate=25)
    tracks = read(FOLDER / "particles/fibres_ptv_part1.txt", options)
    assert (len(tracks), sum(map(len, tracks))) == (44, 1957)
    # The catalogue leaves out tracks of fewer than six samples.
    long = [track for track in tracks if len(track) >= 6]
    assert (len(long), sum(map(len, long))) == (22, 1889)
    assert np.ptp(max(tracks, key=len).times) == pytest.approx(26.2, abs=0.05)


def test_grains():
    tracks = read(
        FOLDER / "particles/silica_in_turbulence.h5", ReadOptions(time="time", rate=500, extra=("velocity",))
    )
    long = [track for track in tracks if len(track) >= 6]
    assert (len(long), sum(map(len, long))) == (278, 8801)
    assert np.ptp(max(tracks, key=len).times) == pytest.approx(0.288)
    assert tracks[0].names == ("x", "y", "z", "velocity_x", "velocity_y", "velocity_z")
    # Its velocities are those of its positions. Metres a second.
    track = max(tracks, key=len)
    moved = (track.points[2:, :3] - track.points[:-2, :3]) * 250
    assert np.median(np.linalg.norm(moved - track.points[1:-1, 3:], axis=1)) < 0.1 * np.median(
        np.linalg.norm(moved, axis=1)
    )


def test_car_notes_its_floats_and_keeps_its_clock():
    track = read(FOLDER / "gnss/car_rtk_part1.pos", ReadOptions(extra=("Q",)))[0]
    lines = [
        line.split()
        for line in (FOLDER / "gnss/car_rtk_part1.pos").read_text().splitlines()
        if line[0] != "%"
    ]
    floats = sum(line[5] != "1" for line in lines)
    assert f"{floats} of 3600 solutions are not fixed" in " ".join(track.notes)
    assert track.start_ns == (2270 * 604800 + 194670) * 10**9
    np.testing.assert_array_equal(track.points[:, 3], [float(line[5]) for line in lines])
    degrees = np.array([line[2:5] for line in lines], dtype=float)
    np.testing.assert_allclose(to_geodetic(track.position, track.origin), degrees, atol=1e-8)


def test_columns_that_cannot_be_told_are_asked_for():
    for file in (
        "cells/t_cells_part1.txt",
        "particles/fibres_ptv_part1.txt",
        "drone/crazyflie_real_path_001.csv",
    ):
        with pytest.raises(ValueError, match="--rate"):
            read(FOLDER / file)
