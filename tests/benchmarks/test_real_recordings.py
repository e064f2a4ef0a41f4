"""Recordings as windows: readers on samples written here, cutting of hand-made tracks, known scores."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.real_recordings import body_readers, earth_readers, space_readers, table_readers
from benchmarks.real_recordings.__main__ import main, measure, recordings_folder
from benchmarks.real_recordings.catalogue import RECORDINGS, SKIPPED, Recording, present
from benchmarks.real_recordings.scores import score
from benchmarks.real_recordings.tracks import cut_windows, make_track, uniform_pieces
from examples.trajectory_3d.baselines import LastValue, constant_velocity

DATA = Path(__file__).parents[2] / "../shared/data/real/free"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")


@pytest.fixture
def file(tmp_path):
    """Write a sample and return its path."""

    def write(content: str | bytes, name: str = "sample") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def only(tracks):
    assert len(tracks) == 1
    return tracks[0]


# --- tracks and windows -------------------------------------------------------------------------------


def test_samples_are_ordered_and_unknown_and_repeated_ones_left_out():
    times = [2.0, 0.0, 1.0, 1.0, np.nan, 3.0]
    points = np.arange(18.0).reshape(6, 3)
    points[5, 1] = np.nan
    track = make_track(times, points)
    assert track.times.tolist() == [0, 1, 2]
    assert track.points[:, 0].tolist() == [3, 6, 0]
    with pytest.raises(ValueError, match=r"times \[N\] and points \[N, 3\]"):
        make_track([0.0, 1.0], np.zeros((3, 3)))


def test_uniform_samples_are_taken_as_they_are():
    points = np.random.default_rng(0).normal(size=(11, 3))
    (piece,) = uniform_pieces(make_track(np.arange(11) * 0.1 + 1e9, points), stride=3)
    np.testing.assert_array_equal(piece, points[[0, 3, 6, 9]])


def test_jittered_times_are_interpolated_between_neighbours():
    times = np.array([0.0, 0.9, 2.1, 3.0, 4.0, 5.0, 6.0, 7.0])
    points = np.stack([times, 2 * times, -times], axis=1)  # uniform straight motion: exact on any grid
    (piece,) = uniform_pieces(make_track(times, points))
    np.testing.assert_allclose(piece[:, 0], np.arange(8), atol=1e-12)
    np.testing.assert_allclose(piece[:, 1], 2 * np.arange(8), atol=1e-12)


def test_a_gap_cuts_unless_the_new_step_spans_it():
    times = np.array([0.0, 1, 2, 3, 7.1, 8, 9, 10, 11])
    track = make_track(times, np.stack([times] * 3, axis=1))
    assert [len(piece) for piece in uniform_pieces(track)] == [4, 4]
    assert [len(piece) for piece in uniform_pieces(track, stride=5)] == [3]
    assert uniform_pieces(make_track([1.0], np.zeros((1, 3)))) == []


@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5),
    st.integers(3, 12),
    st.integers(1, 30),
)
def test_windows_never_cross_pieces_and_are_spread_evenly(lengths, length, most):
    # Every point says which piece and place it is from.
    pieces = [
        np.stack([np.full(n, i), np.arange(n), np.zeros(n)], 1).astype(float) for i, n in enumerate(lengths)
    ]
    windows = cut_windows(pieces, length, length - 1, 0.0, most)
    possible = sum(max(0, n - length + 1) for n in lengths)
    assert len(windows) == min(most, possible)
    if not len(windows):
        return
    assert (windows[:, :, 0] == windows[:, :1, 0]).all()
    assert (np.diff(windows[:, :, 1], axis=1) == 1).all()
    starts = [(window[0, 0], window[0, 1]) for window in windows]
    assert len(set(starts)) == len(starts)
    assert starts == sorted(starts)
    if len(windows) > 1:  # the first and the last possible window are among them
        long = [i for i, n in enumerate(lengths) if n >= length]
        assert starts[0] == (long[0], 0)
        assert starts[-1] == (long[-1], lengths[long[-1]] - length)


def test_what_rests_while_observed_is_left_out():
    still, moving = np.zeros((30, 3)), np.zeros((30, 3))
    moving[:, 2] = np.arange(30.0)
    windows = cut_windows([still + 5e6, moving + 5e6], 10, 8, 0.5, 100)
    assert len(windows) == 21
    assert (np.ptp(windows[..., 2], axis=1) == 9).all()
    # std of 0..7 is sqrt((64 - 1) / 12); pooled over three axes, two of them still: divided by sqrt(3).
    spread = np.sqrt(63 / 12 / 3)
    assert len(cut_windows([moving], 10, 8, spread - 1e-9, 100)) == 21
    assert len(cut_windows([moving], 10, 8, spread + 1e-9, 100)) == 0


# --- readers ------------------------------------------------------------------------------------------


def test_tum(file):
    path = file("# time x y z qx qy qz qw\n1305031098.5 1 2 3 0 0 0 1\n1305031098.6 4 5 6 0 0 0 1\n")
    track = only(table_readers.read_tum(path))
    np.testing.assert_allclose(np.diff(track.times), 0.1, atol=1e-6)
    assert track.points.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_euroc_keeps_nanoseconds(file):
    path = file("#timestamp [ns],x,y,z,w\n1520531124177875537,1,2,3,1\n1520531124177875637,4,5,6,1\n")
    track = only(table_readers.read_euroc(path))
    np.testing.assert_allclose(track.times, [0, 1e-7], rtol=1e-9)
    assert track.points[1].tolist() == [4, 5, 6]


def test_named_columns(file):
    path = file("time,speed, note,North,East,Down\n0.0,9,9,1,2,3\n0.1,9,9,4,5,6\n")
    track = only(table_readers.read_north_east_down(path))
    assert track.times.tolist() == [0, 0.1]
    assert track.points.tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match="no column 'x_estimate'"):
        table_readers.read_crazyflie(path)
    path = file("x_estimate,y_estimate,z_estimate,v\n1,2,3,4\n5,6,7,4\n")
    track = only(table_readers.read_crazyflie(path))
    assert track.times.tolist() == [0, 0.01]
    assert track.points[1].tolist() == [5, 6, 7]


def test_labelled_tracks(file):
    cells = table_readers.read_cells(file("1 1 0 10 20 30\n2 1 24 11 20 30\n3 7 0 5 5 5\n"))
    assert [len(track.times) for track in cells] == [2, 1]
    np.testing.assert_allclose(cells[0].points[1], [11e-6, 20e-6, 30e-6])
    particles = table_readers.read_particles(
        file("4\t1000\t0\t0\t0\t0\t-1\t0.1\t50\n4\t2000\t0\t0\t0\t0\t-1\t0.1\t51\n")
    )
    assert only(particles).times.tolist() == [2.0, 2.04]
    np.testing.assert_allclose(only(particles).points[:, 0], [1, 2])


def test_vicon_and_trc_leave_missing_samples_out(file):
    vicon = body_readers.read_vicon(
        file("Trajectories,,\n100,,\n,,a:one,,,a:two,,\nFrame,Sub Frame,X,Y,Z,X,Y,Z\n,,mm,mm,mm,mm,mm,mm\n"
             "1,0,1,2,3,10,20,30\n2,0,,,,40,50,60\n")
    )  # fmt: skip
    assert [len(track.times) for track in vicon] == [1, 2]
    np.testing.assert_allclose(vicon[1].points[1], [0.04, 0.05, 0.06])
    np.testing.assert_allclose(vicon[1].times, [0.01, 0.02])
    for separator in (",", "\t"):
        lines = ["PathFileType,4", "DataRate,CameraRate,NumFrames,NumMarkers,Units", "100,100,2,2,mm",
                 "Frame#,Time,A,,,B,,", ",,X1,Y1,Z1,X2,Y2,Z2", "", "1,0,1,2,3,4,5,6",
                 "2,0.01,1,2,3,,,"]  # fmt: skip
        trc = body_readers.read_trc(file("\n".join(lines).replace(",", separator)))
        assert [len(track.times) for track in trc] == [2, 1]
        np.testing.assert_allclose(trc[1].points, [[0.004, 0.005, 0.006]])


def test_c3d(file):
    # Header block, one parameter block, then 2 frames of 2 points and 1 analogue sample.
    head = struct.pack("<BB", 2, 0x50) + struct.pack("<4H", 2, 1, 11, 12)
    head += struct.pack("<Hf", 10, -1.0) + struct.pack("<HHf", 3, 1, 50.0)
    frames = [[1, 2, 3, 0.1, 4, 5, 6, 0.1, 99], [7, 8, 9, 0.1, 0, 0, 0, -1.0, 99]]
    body = struct.pack("<18f", *frames[0], *frames[1])
    tracks = body_readers.read_c3d(file(head.ljust(1024, b"\0") + body))
    assert tracks[0].points.tolist() == [[1, 2, 3], [7, 8, 9]]
    assert tracks[0].times.tolist() == [0, 0.02]
    assert tracks[1].points.tolist() == [[4, 5, 6]]
    with pytest.raises(ValueError, match="no C3D file"):
        body_readers.read_c3d(file(b"\0" * 1024))


def test_bvh_root_and_demonstrations(file, tmp_path):
    text = (
        "HIERARCHY\nROOT hips\n{\nCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\n}\n"
    )
    path = file(text + "MOTION\nFrames: 2\nFrame Time: .5\n0.45 0 0 9 9 9\n0.9 0 0.45 9 9 9\n")
    track = only(body_readers.read_bvh_root(path))
    assert track.times.tolist() == [0, 0.5]
    np.testing.assert_allclose(track.points, [[0.0254, 0, 0], [0.0508, 0, 0.0254]])
    cells = np.empty((2, 1), dtype=object)
    cells[0, 0], cells[1, 0] = np.arange(18.0).reshape(6, 3), np.ones((6, 2))
    scipy.io.savemat(tmp_path / "demo.mat", {"data": cells, "dt": 0.01})
    first, second = body_readers.read_demonstrations(tmp_path / "demo.mat")
    assert first.points.tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert second.times.tolist() == [0, 0.01]


def test_sp3(file):
    lines = ["#cP2017  2 14  0  0  0.00000000       2 ORBIT IGS14 HLM  IGS"]
    for hour, minute, x in ((23, 45, 1.5), (0, 0, 2.5)):
        lines.append(f"*  2017  2 {14 if hour else 15} {hour:2d} {minute:2d}  0.00000000")
        lines.append(f"PG01{x:14.6f}{-20205.485937:14.6f}{-13973.830231:14.6f}     49.177035  7  6  8 122")
        lines.append(f"PR02{0:14.6f}{0:14.6f}{0:14.6f} 999999.999999")
    track = only(space_readers.read_sp3(file("\n".join([*lines, "EOF"]))))
    assert np.diff(track.times).tolist() == [900]
    np.testing.assert_allclose(
        track.points, [[1500, -20205485.937, -13973830.231], [2500, -20205485.937, -13973830.231]]
    )


def test_oem_text_and_xml_agree(file):
    text = (
        "CCSDS_OEM_VERS = 2.0\nMETA_START\nSTART_TIME = 2022-11-16T23:59:00\nMETA_STOP\nCOMMENT x\n\n"
        "2022-11-16T23:59:30.5 -1 2 3 0 0 0\n2022-11-17T00:00:30.5 4 5 6 0 0 0\n"
    )
    states = "".join(
        f"<stateVector><EPOCH>{epoch}</EPOCH><X units='km'>{x}</X><Y>{y}</Y><Z>{z}</Z></stateVector>"
        for epoch, x, y, z in (("2022-320T23:59:30.5Z", -1, 2, 3), ("2022-321T00:00:30.5Z", 4, 5, 6))
    )
    xml = f"<ndm><oem><body><segment><data>{states}</data></segment></body></oem></ndm>"
    first = only(space_readers.read_oem_text(file(text)))
    second = only(space_readers.read_oem_xml(file(xml)))
    for track in (first, second):
        assert np.diff(track.times).tolist() == [60]
        assert track.points.tolist() == [[-1000, 2000, 3000], [4000, 5000, 6000]]
    np.testing.assert_allclose(first.times, second.times)


def test_east_north_up_against_lengths_on_the_ellipsoid():
    # One degree at the equator: 111 319.49 m along it; 110 574.4 m of meridian (WGS 84 tables).
    east = earth_readers.east_north_up([0, 0], [10, 11], [0, 0])[1]
    north = earth_readers.east_north_up([-0.5, 0.5], [10, 10], [0, 0])[1]
    assert np.linalg.norm(east) == pytest.approx(2 * 6378137 * np.sin(np.radians(0.5)), rel=1e-12)
    assert np.linalg.norm(north) == pytest.approx(110574.4, abs=2)  # the chord is 1.4 m shorter than the arc
    assert east[0] > 100_000 > abs(east[2]) > abs(east[1])
    assert north[1] > 100_000 > abs(north[2])
    up = earth_readers.east_north_up([47.0, 47.0], [8.0, 8.0], [400.0, 1400.0])[1]
    np.testing.assert_allclose(up, [0, 0, 1000], atol=1e-6)
    gap = earth_readers.east_north_up([np.nan, 47.0, 47.0], [8.0, 8.0, 8.0], [0.0, 0.0, 5.0])
    assert np.isnan(gap[0]).all()
    np.testing.assert_allclose(gap[1:], [[0, 0, 0], [0, 0, 5]], atol=1e-6)
    assert np.isnan(earth_readers.east_north_up([np.nan], [0.0], [0.0])).all()


def test_aircraft(file):
    records = [
        {"timestamp": 5000, "latitude": 47.0, "longitude": 8.0, "altitude": 1000},
        {"timestamp": 6000, "latitude": 47.0, "longitude": 8.0, "altitude": 2000},
        {"timestamp": 7000, "latitude": None, "longitude": 8.0, "altitude": 3000},
        {"timestamp": 8000, "latitude": 47.0, "longitude": 8.0},
    ]
    track = only(earth_readers.read_aircraft(file(gzip.compress(json.dumps(records).encode()))))
    assert track.times.tolist() == [5, 6]
    np.testing.assert_allclose(track.points, [[0, 0, 0], [0, 0, 304.8]], atol=1e-6)


def test_igc_over_midnight_on_the_southern_hemisphere(file):
    records = ["B2359583839773S17608501EA0035200458006", "B0000013839773S17608501EA0035200468006"]
    track = only(earth_readers.read_igc(file("AXXX\nHFDTE010116\n" + "\n".join(records))))
    assert np.diff(track.times).tolist() == [3]
    np.testing.assert_allclose(track.points[1], [0, 0, 10], atol=1e-6)
    moved = "B1200004612600N00706000WA0035200000", "B1200014612600N00705000WA0036200000"
    track = only(earth_readers.read_igc(file("\n".join(moved))))
    # 1 minute of arc eastwards at latitude 46.21; no GPS height, so pressure height counts.
    assert track.points[1, 0] == pytest.approx(
        6378137 * np.cos(np.radians(46.21)) * np.radians(1 / 60), rel=4e-3
    )
    assert track.points[1, 2] == pytest.approx(10, abs=0.5)


def test_rtklib_and_gpx(file):
    path = file("% header\n2270 604799.8 47.0 8.0 400.0 1 16\n2271 0.0 47.0 8.0 401.0 1 16\n")
    track = only(earth_readers.read_rtklib(path))
    np.testing.assert_allclose(np.diff(track.times), 0.2, rtol=1e-6)
    np.testing.assert_allclose(track.points[1], [0, 0, 1], atol=1e-6)
    point = '<trkpt lat="47" lon="8">{}<ele>{}</ele></trkpt>'
    rows = [("<time>2010-10-03T09:36:30Z</time>", 1), ("", 2), ("<time>2010-10-03T09:36:41Z</time>", 4)]
    body = "".join(point.format(*row) for row in rows)
    gpx = f'<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>{body}</trkseg><trkseg/></trk></gpx>'
    track = only(earth_readers.read_gpx(file(gpx)))
    assert np.diff(track.times).tolist() == [11]
    np.testing.assert_allclose(track.points[1], [0, 0, 3], atol=1e-6)


# --- scores -------------------------------------------------------------------------------------------


def test_a_straight_path_scores_in_closed_form():
    """Last value on x = t: errors 1..H, mean (H + 1) / 2, over the pooled deviation of 0..L-1."""
    windows = np.zeros((4, 20 + 6, 3))
    windows[:, :, 0] = np.arange(26.0) + np.array([0, 3, 1e7, -1e7])[:, None]
    found = score(LastValue(), windows, 20)
    expected = 3.5 / np.sqrt((20**2 - 1) / 12 / 3)
    assert found.gn == pytest.approx(expected, rel=1e-9)
    assert found.gn_median == pytest.approx(expected, rel=1e-9)
    assert found.position_error == pytest.approx(3.5, rel=1e-9)
    assert found.coverage is None
    assert score(constant_velocity(), windows, 20).gn < 1e-8


def test_scores_do_not_depend_on_unit_or_place():
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(5, 36, 3))
    base, moved = (score(constant_velocity(), each, 20) for each in (windows, 1e3 * windows + 7))
    assert (moved.gn, moved.gn_median) == pytest.approx((base.gn, base.gn_median))
    assert moved.position_error == pytest.approx(1e3 * base.position_error)


def tiny(folder: Path) -> tuple[Recording, ...]:
    angle = 0.2 * np.arange(150)
    circle = np.stack([np.cos(angle), np.sin(angle), 0.1 * angle], 1)
    rows = "".join(f"{0.1 * i:.1f} {x:.9f} {y:.9f} {z:.9f} 0 0 0 1\n" for i, (x, y, z) in enumerate(circle))
    (folder / "slam").mkdir()
    (folder / "slam/circle.txt").write_text(rows)
    (folder / "slam/still.txt").write_text("".join(f"{i} 1 2 3 0 0 0 1\n" for i in range(150)))
    return tuple(
        Recording(f"slam/{name}.txt", table_readers.read_tum, name, 0.01)
        for name in ("circle", "still", "gone")
    )


def test_the_command_measures_what_is_there(tmp_path, monkeypatch, capsys):
    recordings = tiny(tmp_path)
    monkeypatch.setattr("benchmarks.real_recordings.catalogue.present.__defaults__", (recordings,))
    arguments = ["--data", str(tmp_path), "--baselines", "last value,constant velocity", "--windows", "7"]
    assert main([*arguments, "--output", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "No window: still" in printed
    assert "Leads: " in printed
    content = json.loads((tmp_path / "out.json").read_text())
    (found,) = content["recordings"]
    assert (found["recording"], found["windows"], found["context"], found["horizon"]) == ("circle", 7, 64, 16)
    scores = {each["forecaster"]: each["gn"] for each in found["scores"]}
    assert set(scores) == {"last value", "constant velocity"}
    assert found["leader"] == min(scores, key=scores.get)
    assert content["overall_gn"] == pytest.approx(scores)
    assert content["without_windows"] == ["still"]
    assert main([*arguments[:2], "--baselines", "none"]) == 2
    assert main(["--data", str(tmp_path / "nothing"), "--baselines", "last value"]) == 2
    assert "holds none of the recordings" in capsys.readouterr().err


# --- the recordings themselves ------------------------------------------------------------------------


@needs_data
def test_the_catalogue_accounts_for_every_file():
    files = {str(path.relative_to(DATA)) for path in DATA.rglob("*") if path.is_file()}
    assert files <= {recording.file for recording in RECORDINGS} | set(SKIPPED)
    assert len(present(DATA)) == len(RECORDINGS)
    assert recordings_folder(DATA.parent) == DATA.parent / "free"


# As noted beside the files by another reader, to three digits and on a sphere instead of the ellipsoid.
@needs_data
@pytest.mark.parametrize(
    ("name", "seconds", "extent"),
    [
        ("tum_fr1_xyz_groundtruth", 30.1, (0.457, 0.697, 0.44)),
        ("tumvi_room4_mocap0", 68.4, (3.41, 2.18, 0.882)),
        ("qdr_vertical_01_GT", 32.5, (19.5, 68.2, 22.0)),
        ("igs19362_gps", 85_500, (4.52e7, 4.49e7, 4.37e7)),
        ("artemis1_orion_asflown_part1", 15.4 * 86400, (7.1e8, 3.44e8, 1.91e8)),
        ("napret", 89.7 * 60, (7510, 5260, 884)),
        ("car_rtk_part1", 13.9 * 60, (578, 1600, 44.7)),
        ("kuka_3D-pick-box", 7.14, (0.229, 0.234, 0.326)),
    ],
)
def test_a_recording_reads_as_its_source_says(name, seconds, extent):
    recording = next(each for each in RECORDINGS if each.name == name)
    track = max(recording.read(DATA / recording.file), key=lambda each: len(each.times))
    assert np.ptp(track.times) == pytest.approx(seconds, rel=5e-3)
    np.testing.assert_allclose(np.ptp(track.points, axis=0), extent, rtol=8e-3)


@needs_data
def test_most_recordings_give_windows_that_move():
    results, silent = measure(DATA, [LastValue(), constant_velocity()], most=20)
    assert len(results) >= 28
    assert [recording.name for recording in silent] == ["hike_korita_zbevnica"]
    for result in results:
        still, straight = (each.gn for each in result.scores)
        # The horizon is a fifth of a window, so that what moves leaves the context, and not by far.
        assert 0.1 < still < 5, result.recording
        assert straight < 3 * still, result.recording
