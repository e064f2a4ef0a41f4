"""What readers of text and marker formats make of small files whose content is known."""

import math
import re
import sys

import numpy as np
import pytest
from field_samples import BVH, EUROC, KITTI, TRC, TUM, c3d, fault_of, read_bytes, samples, ulog
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings import ReadOptions, RecordingError, read
from examples.trajectory_3d.recordings.registry import Match, find_format, formats
from examples.trajectory_3d.recordings.source import Source


@pytest.mark.parametrize("name", sorted(samples()))
def test_each_format_is_told_by_its_content_alone(tmp_path, name):
    _, content, _ = samples()[name]
    path = tmp_path / "recording.dat"
    path.write_bytes(content)
    source = Source(path)
    assert find_format(source, ReadOptions()).name == name
    certain = [each.name for each in formats().values() if each.sniff(source) == Match.CERTAIN]
    assert certain == [name]


@pytest.mark.parametrize("name", sorted(samples()))
def test_the_user_can_say_unit_and_frame_where_the_format_is_no_place_on_earth(tmp_path, name):
    file, content, options = samples()[name]
    path = tmp_path / file
    path.write_bytes(content)
    wish = ReadOptions(rate=options.rate, unit="cm", frame="mine")
    if name in {"gpx", "igc", "kml", "fit", "geojson"}:
        with pytest.raises(RecordingError, match="unit cm, frame mine"):
            read(path, wish)
    elif name != "trajectory-json":  # which says all of itself
        assert {(each.unit, each.frame) for each in read(path, wish)} == {("cm", "mine")}


def test_tum_keeps_every_digit_of_the_stamps_and_the_quaternion(tmp_path):
    (track,) = read_bytes(tmp_path, TUM)
    assert track.stamps_ns().tolist() == [1305031098665900000, 1305031098675800000, 1305031098685800000]
    assert (track.clock, track.unit, track.frame, track.names[3:]) == (
        "utc",
        "m",
        "xyz",
        ("qx", "qy", "qz", "qw"),
    )
    assert track.points[0].tolist() == [1.3563, 0.6305, 1.6380, 0.6132, 0.5962, -0.3311, -0.3986]


def test_tum_counts_small_stamps_from_an_unknown_zero_and_knows_exponents(tmp_path):
    (track,) = read_bytes(tmp_path, b"1.5e+00 1 2 3 0 0 0 1\n2.000000001 1 2 nan 0 0 0 1")
    assert track.clock == "elapsed"
    assert track.stamps_ns().tolist() == [1_500_000_000, 2_000_000_001]
    assert math.isnan(track.points[1, 2])


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        (b"1305031099 1 2 3 0 0 0", 23, "7 cells"),
        (b"1305031099 1 2 3 0 0 0 1 9", 26, "9 cells"),
        (b"1305031099  1 2 x3 0 0 0 1", 17, "'x3'"),
        (b"130503109z 1 2 3 0 0 0 1", 1, "'130503109z'"),
        (b"1305031099 1_0 2 3 0 0 0 1", 12, "'1_0'"),
        (b"1305031099 inf 2 3 0 0 0 1", 12, "'inf'"),
    ],
)
def test_tum_says_where_its_first_fault_is(tmp_path, line, column, words):
    error = fault_of(tmp_path, TUM + line + b"\nmore rubbish\n", format="tum")
    assert (error.line, error.column) == (5, column)
    assert words in str(error)


def test_tum_notes_quaternions_that_are_none(tmp_path):
    (track,) = read_bytes(tmp_path, TUM + b"1305031099 1 2 3 0 0 0 0.5\n", format="tum")
    assert track.notes == ("1 quaternions are not of unit length, the first in line 5",)


def test_eight_columns_without_a_quaternion_are_no_tum(tmp_path):
    with pytest.raises(RecordingError):
        read_bytes(tmp_path, b"1 2 3 4 5 6 7 8\n2 3 4 5 6 7 8 9\n", name="a.bin", format="euroc")
    path = tmp_path / "b.txt"
    path.write_bytes(b"1 2 3 4 5 6 7 8\n")
    assert formats()["tum"].sniff(Source(path)) == Match.NO


def test_kitti_takes_the_fourth_column_of_each_matrix_at_the_rate_that_is_given(tmp_path):
    (track,) = read_bytes(tmp_path, KITTI, rate=10.0)
    assert track.points.tolist() == [[0.5, -0.25, 4], [0.75, -0.5, 5], [1.0, -0.75, 6]]
    assert track.times.tolist() == [0.0, 0.1, 0.2]
    assert (track.clock, track.unit, track.frame) == ("index", "m", "kitti-camera")


def test_kitti_without_a_rate_says_how_to_give_one(tmp_path):
    assert "--rate" in str(fault_of(tmp_path, KITTI))


def test_twelve_columns_without_rotations_are_no_kitti(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"1 2 3 4 5 6 7 8 9 10 11 12\n")
    assert formats()["kitti"].sniff(Source(path)) == Match.NO
    mirrored = b"-1 0 0 1 0 1 0 2 0 0 1 3\n"
    path.write_bytes(mirrored)
    assert formats()["kitti"].sniff(Source(path)) == Match.NO
    (track,) = read_bytes(tmp_path, KITTI + mirrored, rate=1.0, format="kitti")
    assert track.notes == ("1 matrices hold no rotation, the first in line 4",)


def test_euroc_reads_nanoseconds_as_whole_numbers(tmp_path):
    (track,) = read_bytes(tmp_path, EUROC)
    assert track.stamps_ns().tolist() == [1520531124177875537, 1520531124186208537]
    assert track.names == ("x", "y", "z", "qw", "qx", "qy", "qz")
    (plain,) = read_bytes(tmp_path, EUROC.split(b"\n", 1)[1])
    assert np.array_equal(plain.points, track.points)


def test_euroc_faults(tmp_path):
    assert fault_of(tmp_path, EUROC + b"1520531124186208537,1,2\n").line == 4
    error = fault_of(tmp_path, EUROC + b"1.5e18,1,2,3,4,5,6,7\n")
    assert (error.line, error.column) == (4, 1)
    error = fault_of(tmp_path, EUROC + b"1520531124186208537,1,2,,1,0,0,0\n")
    assert (error.line, error.column) == (4, 25)
    angular = b"#timestamp [ns],w_RS_S_x [rad s^-1],w_RS_S_y [rad s^-1],a\n1520531124186208537,1,2,3\n"
    assert "header" in str(fault_of(tmp_path, angular, format="euroc"))


def test_trc_lost_markers_are_nan_and_its_unit_is_the_header_s(tmp_path):
    left, right = read_bytes(tmp_path, TRC)
    assert (left.track, right.track, left.unit) == ("LASI", "RASI", "mm")
    assert left.points.tolist() == [[1, 2, 3], [1.5, 2.5, 3.5], [2, 3, 4]]
    assert np.isnan(right.points[1]).all()
    assert left.times.tolist() == [0.0, 0.01, 0.02]
    assert not left.notes
    by_commas = read_bytes(tmp_path, TRC.replace(b"\t", b","))
    assert by_commas[0].points.tolist() == left.points.tolist()


def test_trc_notes_a_header_that_lies_and_a_marker_that_was_never_seen(tmp_path):
    blind = (
        TRC.replace(b"\t4\t5\t6\n", b"\t\t\t\n")
        .replace(b"\t5\t6\t7\n", b"\t\t\t\n")
        .replace(b"100\t3\t2", b"100\t9\t2")
    )
    (track,) = read_bytes(tmp_path, blind)
    assert track.notes == ("the header says 9 frames, the file has 3", "1 marker of 2 never seen")


def test_trc_faults(tmp_path):
    error = fault_of(tmp_path, TRC + b"4\t0.03\t1\t2\n")
    assert (error.line, "4 cells" in str(error)) == (10, True)
    error = fault_of(tmp_path, TRC + b"4\t0.03\t1\t2\tz\t4\t5\t6\n")
    assert (error.line, error.column) == (10, 12)
    assert fault_of(tmp_path, TRC.replace(b"\t2\tmm", b"\t3\tmm")).line == 4
    assert "NumFrames" in str(fault_of(tmp_path, TRC.replace(b"NumFrames", b"NumFramez", 1)))


# --- BVH: forward kinematics against a naive chain of 4 x 4 matrices, one joint and one frame at a time ---


def _naive_matrix(channels: list[str], values: list[float], offset: list[float]) -> np.ndarray:
    result = np.eye(4)
    result[:3, 3] = offset
    for kind, value in zip(channels, values, strict=True):
        step = np.eye(4)
        axis = "XYZ".index(kind[0])
        if kind.endswith("position"):
            result[axis, 3] += value
            continue
        c, s = math.cos(math.radians(value)), math.sin(math.radians(value))
        step[:3, :3] = [
            [[1, 0, 0], [0, c, -s], [0, s, c]],
            [[c, 0, s], [0, 1, 0], [-s, 0, c]],
            [[c, -s, 0], [s, c, 0], [0, 0, 1]],
        ][axis]
        result = result @ step
    return result


def _naive_skeleton(words: list[str]) -> list[dict | None]:
    """Joints in their order, None for an end site."""
    joints: list[dict | None] = []
    stack: list[int] = []
    for index, word in enumerate(words):
        last = joints[-1] if joints else None
        if word in {"ROOT", "JOINT"}:
            joints.append({"name": words[index + 1], "parent": stack[-1] if stack else None, "channels": []})
        elif word == "End":
            joints.append(None)
        elif word == "{":
            stack.append(len(joints) - 1)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET" and last is not None:
            last["offset"] = [float(each) for each in words[index + 1 : index + 4]]
        elif word == "CHANNELS":
            last["channels"] = words[index + 2 : index + 2 + int(words[index + 1])]
    return joints


def _naive_bvh(text: str, frames: int | None = None) -> dict[str, list[list[float]]]:
    head, _, motion = text.partition("MOTION")
    joints = _naive_skeleton(head.split())
    result: dict[str, list[list[float]]] = {}
    for line in motion.strip().splitlines()[2:][:frames]:
        values, place, world = [float(each) for each in line.split()], 0, {}
        for index, joint in enumerate(joints):
            if joint is None:
                continue
            count = len(joint["channels"])
            local = _naive_matrix(joint["channels"], values[place : place + count], joint["offset"])
            place += count
            world[index] = local if joint["parent"] is None else world[joint["parent"]] @ local
            result.setdefault(joint["name"], []).append(world[index][:3, 3].tolist())
    return result


def test_bvh_a_quarter_turn_of_the_hips_lays_the_leg_along_x(tmp_path):
    hips, knee = read_bytes(tmp_path, BVH)
    assert (hips.frame, hips.unit, hips.clock) == ("y-up", "unknown", "elapsed")
    assert hips.points.tolist() == [[1, 2, 3], [1, 2, 3]]
    assert np.allclose(knee.points, [[1, 0, 3], [3, 2, 3]], atol=1e-12)
    assert hips.stamps_ns().tolist() == [0, 8_333_300]


@settings(max_examples=40, deadline=None)
@given(
    order=st.permutations(["Zrotation", "Yrotation", "Xrotation"]),
    angles=st.lists(st.floats(-360, 360).map(lambda value: round(value, 4)), min_size=9, max_size=9),
    offsets=st.lists(st.floats(-10, 10).map(lambda value: round(value, 3)), min_size=9, max_size=9),
)
def test_bvh_forward_kinematics_equal_a_naive_chain_of_matrices(tmp_path_factory, order, angles, offsets):
    joint = "{indent}{kind} {name}\n{indent}{{\n{indent}OFFSET {offset}\n{indent}CHANNELS {channels}\n"
    text = "HIERARCHY\n"
    for index, (kind, name) in enumerate((("ROOT", "a"), ("JOINT", "b"), ("JOINT", "c"))):
        channels = f"3 {' '.join(order)}" if index else f"6 Xposition Yposition Zposition {' '.join(order)}"
        offset = " ".join(map(repr, offsets[3 * index : 3 * index + 3]))
        text += joint.format(indent="  " * index, kind=kind, name=name, offset=offset, channels=channels)
    text += "}\n}\n}\nMOTION\nFrames: 1\nFrame Time: 0.1\n1 2 3 " + " ".join(map(repr, angles)) + "\n"
    path = tmp_path_factory.mktemp("bvh") / "a.bvh"
    path.write_text(text)
    expected = _naive_bvh(text)
    for track in read(path):
        assert np.allclose(track.points, expected[track.track], atol=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"),
    [
        (b"CHANNELS 3", b"CHANNELS 7", 9, 14, "'7'"),
        (b"OFFSET 0 -2 0", b"OFFSET 0 -2", 9, 5, "'CHANNELS'"),
        (b"Frame Time: .0083333", b"Frame Time: 0", 18, None, "not positive"),
        (b"1 2 3 90", b"1 2 3", 20, 19, "8 cells"),
        (b"1 2 3 90", b"1 2 3 9o", 20, 7, "'9o'"),
        (b"JOINT Knee", b"JOINTS Knee", 6, 3, "'JOINTS'"),
        (
            b"Zrotation Yrotation Xrotation\n    End",
            b"Zrotation Yrotation Wrotation\n    End",
            9,
            36,
            "'Wrotation'",
        ),
    ],
)
def test_bvh_faults(tmp_path, old, new, line, column, words):
    assert old in BVH
    error = fault_of(tmp_path, BVH.replace(old, new))
    assert (error.line, error.column) == (line, column), str(error)
    assert words in str(error)


def test_bvh_notes_a_header_that_lies(tmp_path):
    for track in read_bytes(tmp_path, BVH.replace(b"Frames: 2", b"Frames: 7")):
        assert track.notes == ("the header says 7 frames, the file has 2",)


# --- C3D ---


@pytest.mark.parametrize("processor", [84, 85, 86])
@pytest.mark.parametrize("real", [True, False])
def test_c3d_of_every_processor_and_kind_of_number(tmp_path, processor, real):
    first, second = read_bytes(tmp_path, c3d(processor, real=real))
    scale = 1.0 if real else 0.5
    assert (first.track, second.track, first.unit) == ("A", "B", "mm")
    assert first.points.tolist() == [[scale * x for x in row] for row in ([0, 0, 3], [1, 2, 3], [2, 4, 3])]
    assert np.isnan(second.points[1]).all()
    assert second.points[2].tolist() == [scale * 10, scale * 20, scale * 2]
    assert first.times.tolist() == [0.0, 0.02, 0.04]


def test_c3d_that_was_cut_off_says_so(tmp_path):
    tracks = read_bytes(tmp_path, c3d()[:-5])
    assert [len(each) for each in tracks] == [2, 2]
    assert "the header says 3 frames, the file has 2" in tracks[0].notes


def test_c3d_equals_what_ezc3d_reads(tmp_path):
    ezc3d = pytest.importorskip("ezc3d")
    path = tmp_path / "a.c3d"
    path.write_bytes(c3d(frames=5, analogue=0))
    reference = ezc3d.c3d(str(path))["data"]["points"]
    for index, track in enumerate(read(path)):
        assert np.array_equal(track.points, reference[:3, index].T, equal_nan=True)


# --- ULog ---


def test_ulog_gives_every_instance_in_north_east_down(tmp_path):
    first, second = read_bytes(tmp_path, ulog())
    assert (first.frame, first.unit, first.clock) == ("ned", "m", "elapsed")
    assert first.track == "vehicle_local_position 0"
    assert second.points[2].tolist() == [2, 4, -4, 1, 2, 3]
    assert first.stamps_ns().tolist() == [5_000_000_000, 5_100_000_000, 5_200_000_000]
    assert first.notes == ("the estimator calls 1 of 3 positions invalid",)


def test_ulog_that_was_cut_off_says_so(tmp_path):
    (track,) = read_bytes(tmp_path, ulog(instances=1)[:-3])
    assert len(track) == 2
    assert "the file ends within a message; it was cut off" in track.notes


def test_ulog_equals_what_pyulog_reads(tmp_path):
    pyulog = pytest.importorskip("pyulog")
    path = tmp_path / "a.ulg"
    path.write_bytes(ulog())
    for track, data in zip(read(path), pyulog.ULog(str(path)).data_list, strict=True):
        assert np.array_equal(track.points, np.stack([data.data[name] for name in track.names], axis=1))
        assert track.stamps_ns().tolist() == [1000 * int(stamp) for stamp in data.data["timestamp"]]


def test_ulog_goes_on_after_a_corrupt_part_and_says_so(tmp_path):
    whole = ulog(instances=1, samples=4)
    size = len(ulog(instances=1, samples=5)) - len(whole)
    sync = b"\x08\x00S\x2f\x73\x13\x20\x25\x0c\xbb\x12"
    (track,) = read_bytes(tmp_path, whole[:-size] + b"\x02\x00\x07garbage" + sync + whole[-size:])
    assert (len(track), track.notes[0]) == (4, "parts of the file are corrupt and left out")


def test_a_missing_library_says_how_to_get_it(tmp_path, monkeypatch):
    file, content, _ = samples()["fit"]
    monkeypatch.setitem(sys.modules, "fitdecode", None)
    with pytest.raises(RecordingError, match=re.escape("pip install 'm-trajectory[formats]'")):
        read_bytes(tmp_path, content, name=file)
