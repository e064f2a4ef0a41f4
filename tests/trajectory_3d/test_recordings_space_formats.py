"""What readers of orbits make of small files, and of the published cases of SGP4."""

import math
from importlib.resources import files

import numpy as np
import pytest
from field_samples import OEM, OEM_XML, SP3, TLE, fault_of, read_bytes

from examples.trajectory_3d.recordings.epochs import civil_ns, time_of_day_ns

_ZERO = SP3[SP3.index(b"PG01      0.0") : SP3.index(b"PR02 -21000")]


def test_sp3_counts_gps_time_and_turns_zeros_into_nan(tmp_path):
    first, second = read_bytes(tmp_path, SP3)
    assert (first.track, second.track) == ("G01", "R02")
    assert (first.unit, first.frame, first.clock) == ("km", "itrf", "gps")
    assert first.stamps_ns()[0] == (1936 * 604_800 + 172_800) * 10**9  # week and seconds of the header
    assert first.times.tolist() == [0, 900]
    assert first.points[0] == pytest.approx(
        [9950.635414, -20205.485937, -13973.830231, 1.2345678901, -2, 1e-4]
    )
    assert np.isnan(first.points[1]).all()
    assert first.names == ("x", "y", "z", "vx", "vy", "vz")
    assert not first.notes


@pytest.mark.parametrize(
    ("system", "shift", "clock"), [("TAI", -19, "gps"), ("BDT", 14, "gps"), ("UTC", 0, "utc")]
)
def test_sp3_of_other_time_systems(tmp_path, system, shift, clock):
    first, _ = read_bytes(tmp_path, SP3.replace(b"cc GPS", b"cc " + system.encode()))
    zero = 0 if clock == "utc" else civil_ns(1980, 1, 6)
    assert (first.clock, first.start_ns) == (clock, civil_ns(2017, 2, 14) - zero + shift * 10**9)


def test_sp3_versions_a_and_d(tmp_path):
    old = SP3.replace(b"#cV", b"#aP").replace(b"PG01", b"P  1").replace(b"GPS", b"ccc")
    old = b"\n".join(line for line in old.split(b"\n") if not line.startswith(b"V"))
    first, _ = read_bytes(tmp_path, old)
    assert (first.track, first.names) == ("G01", ("x", "y", "z"))
    assert len(read_bytes(tmp_path, SP3.replace(b"#c", b"#d"))) == 2


def test_sp3_notes_a_file_that_was_cut_off_and_a_count_that_lies(tmp_path):
    cut = SP3[: SP3.rindex(b"*  2017")]
    notes = read_bytes(tmp_path, cut)[0].notes
    assert notes == (
        "the header says 2 epochs, the file has 1",
        "no EOF in the last line; the file was cut off",
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"),
    [
        (b"PR02 -21716.776296  13624.376066", b"PR02 -21716.776296  1362x.376066", 12, 19, "'1362x.376066'"),
        (
            b"PR02 -21716.776296  13624.376066  -5710.906483    476.234805",
            b"PR02 -21716.776296  13624.37",
            12,
            19,
            "13624.37",
        ),
        (b"*  2017  2 14  0 15", b"*  2017  2 31  0 15", 14, 1, "day"),
        (_ZERO, _ZERO.replace(b"G01", b"R02"), 17, 2, "twice"),
        (b"VG01  12345", b"VG09  12345", 11, 1, "without its position"),
        (b"cc GPS", b"cc XYZ", 5, 10, "'XYZ'"),
        (b"/* A", b"?* A", 8, 1, "'?* A COMMENT'"),
    ],
)
def test_sp3_faults(tmp_path, old, new, line, column, words):
    assert old in SP3
    error = fault_of(tmp_path, SP3.replace(old, new))
    assert (error.line, error.column) == (line, column), str(error)
    assert words in str(error)


def test_oem_segments_are_tracks_with_their_frame_and_clock(tmp_path):
    first, second = read_bytes(tmp_path, OEM)
    assert (first.track, first.frame, first.clock, first.unit) == ("A", "eme2000", "utc", "km")
    assert first.stamps_ns().tolist() == [civil_ns(2020, 1, 1), civil_ns(2020, 1, 1) + 60 * 10**9]
    assert first.points.tolist() == [[7000, 0, 0, 0, 7.5, 0], [6990, 450, 0, -0.5, 7.4, 0]]
    assert (second.track, second.frame, second.clock) == ("A #2", "itrf", "gps")
    # 2020-01-02T00:00:37 TAI is midnight UTC, when GPS time is 18 s ahead of it.
    assert second.start_ns == civil_ns(2020, 1, 2) - civil_ns(1980, 1, 6) + 18 * 10**9
    assert second.points[0].tolist() == [7000, 0, 0, 0, 7.5, 0, 0.1, 0.2, 0.3]


def test_oem_notes_what_the_header_says_and_the_data_do_not(tmp_path):
    first, second = read_bytes(tmp_path, OEM)
    assert first.notes == ("1 of 2 state vectors lie outside the useable times",)
    assert second.notes == (
        "the header says STOP_TIME 2020-01-05T00:00:00, which is not the last state vector's",
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"),
    [
        (b"-0.5 7.4 0", b"-0.5 7.4", 17, None, "6 cells"),
        (b"-0.5 7.4 0", b"-0.5 7,4 0", 17, 40, "'7,4'"),
        (b"2020-001T00:01:00.000Z", b"2020-400T00:01:00.000Z", 17, 1, "'2020-400"),
        (b"START_TIME = 2020-01-01T00:00:00", b"START_TIME = soon", 10, 13, "'soon'"),
        (b"META_STOP\nCOMMENT", b"COMMENT", 15, None, "'2020-01-01T00:00:00 7000"),
        (b"COVARIANCE_STOP\n", b"", 33, None, "the file ends"),
        (b"TIME_SYSTEM = TAI\n", b"", 18, None, "no TIME_SYSTEM"),
    ],
)
def test_oem_faults(tmp_path, old, new, line, column, words):
    assert old in OEM
    error = fault_of(tmp_path, OEM.replace(old, new, 1))
    assert (error.line, error.column) == (line, column), str(error)
    assert words in str(error)


def test_oem_of_a_time_system_without_a_fixed_relation_keeps_it_and_says_so(tmp_path):
    track = read_bytes(tmp_path, OEM.replace(b"TIME_SYSTEM = UTC", b"TIME_SYSTEM = MET"))[0]
    assert track.clock == "elapsed"
    assert "time system MET is kept" in track.notes[0]


def test_oem_xml_knows_both_kinds_of_dates(tmp_path):
    (track,) = read_bytes(tmp_path, OEM_XML)
    start = civil_ns(2021, 8, 13, time_of_day_ns(12, 40, "19.983"))
    assert track.stamps_ns().tolist() == [start, start + 240 * 10**9]
    assert track.points.tolist() == [[1, 2, 3, 4, 5, 6], [2, 3, 4, 4, 5, 6]]
    assert (track.unit, track.frame, track.clock, track.notes) == ("km", "eme2000", "utc", ())


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (b'<X units="km">1', b'<X units="m">1', 7, "X in 'm'"),
        (b"<Y>2</Y>", b"<Y>two</Y>", 7, "Y is 'two'"),
        (b"<Y>2</Y>", b"", 7, "no Y"),
        (b"2021-08-13T", b"2021-08-32T", 9, "EPOCH is"),
        (b"<REF_FRAME>EME2000</REF_FRAME>", b"", 2, "no REF_FRAME"),
    ],
)
def test_oem_xml_faults(tmp_path, old, new, line, words):
    assert old in OEM_XML
    error = fault_of(tmp_path, OEM_XML.replace(old, new))
    assert (error.line, words in str(error)) == (line, True), str(error)


def _published_cases():
    """Element sets and states (minutes, km, km/s) of the published verification, which `sgp4` carries."""
    package = files("sgp4")
    lines = [
        line
        for line in (package / "SGP4-VER.TLE").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    states: dict[str, list[list[float]]] = {}
    number = ""
    for line in (package / "tcppver.out").read_text().splitlines():
        cells = line.split()
        if len(cells) == 2:
            number = cells[0]
        else:
            states.setdefault(number, []).append([float(each) for each in cells[:7]])
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        yield first[:69], second[:69], states[str(int(first[2:7]))]


def _checksum(line: str) -> str:
    return str(sum(int(each) if each.isdigit() else each == "-" for each in line[:68]) % 10)


def test_tle_gives_the_published_states_of_sgp4(tmp_path):
    tried = 0
    for first, second, states in _published_cases():
        table = np.array(states)
        step = table[2, 0] - table[1, 0] if len(table) > 2 else 0
        whole = np.isclose(table[:, 0], np.arange(len(table)) * step)
        if not step or not whole.all() or first[2:7] in {"33333", "33334", "33335"}:  # those are to fail
            continue
        if any(_checksum(line) != line[68] for line in (first, second)):  # some cases were edited by hand
            continue
        (track,) = read_bytes(tmp_path, f"{first}\n{second}\n".encode(), rate=1 / (60 * step))
        count = min(len(table), len(track))
        known = np.isfinite(track.points[:count, 0])
        assert known.sum() > 2
        assert np.allclose(track.points[:count, :3][known], table[:count, 1:4][known], rtol=0, atol=2e-5)
        assert np.allclose(track.points[:count, 3:][known], table[:count, 4:][known], rtol=0, atol=2e-8)
        tried += 1
    assert tried >= 15


def test_tle_steps_and_names(tmp_path):
    station, other = read_bytes(tmp_path, TLE)
    assert (station.track, other.track) == ("ISS (ZARYA)", "CSS (TIANHE)")
    assert station.times.tolist() == [60.0 * step for step in range(120)]
    assert station.start_ns == civil_ns(2024, 5, 9) + 36689744 * 86_400 * 10  # day 130.36689744
    assert (station.unit, station.frame, station.clock) == ("km", "teme", "utc")
    assert read_bytes(tmp_path, TLE, rate=0.1)[0].times[-1] == 1190
    bare = b"".join(line + b"\n" for line in TLE.split(b"\n") if line[:2] in {b"1 ", b"2 "})
    assert [each.track for each in read_bytes(tmp_path, bare)] == ["25544", "48274"]
    twice = [each.track for each in read_bytes(tmp_path, TLE.replace(b"0 CSS (TIANHE)", b"ISS (ZARYA)"))]
    assert twice == ["ISS (ZARYA) (25544)", "ISS (ZARYA) (48274)"]


def test_tle_orbit_has_the_period_and_energy_of_its_mean_motion(tmp_path):
    (station, _) = read_bytes(tmp_path, TLE)
    gravity = 398600.4418
    energy = 0.5 * (station.points[:, 3:] ** 2).sum(axis=1) - gravity / np.linalg.norm(
        station.position, axis=1
    )
    axis = -gravity / (2 * energy.mean())
    motion = 86_400 / (2 * math.pi * math.sqrt(axis**3 / gravity))
    assert motion == pytest.approx(15.51043222, rel=2e-3)  # the flattening of Earth is not in the energy


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"),
    [
        (b"27777-3 0  9992", b"27777-3 0  9993", 2, 69, "checksum 3"),
        (b"51.6381 147.8590", b"51.6391 147.8590", 3, 69, "checksum 1"),
        (b"51.6381 147.8590", b"51.63x1 147.8590", 3, 15, "'x1 147"),
        (b"2 48274  41", b"2 48275  41", 6, 69, "checksum"),
        (b"24130.36689744", b"24430.36689744", 2, 69, "checksum"),
        (
            b"2 48274  41.4681 322.4705 0003879 310.0852  49.9647 15.63450567172966\n",
            b"",
            5,
            1,
            "the file ends",
        ),
        (
            b"2 25544  51.6381 147.8590 0003466 150.4670 338.5502 15.51043222452521\n",
            b"",
            3,
            1,
            "'0 CSS (TIANHE)'",
        ),
    ],
)
def test_tle_faults(tmp_path, old, new, line, column, words):
    assert old in TLE
    error = fault_of(tmp_path, TLE.replace(old, new), format="tle")
    assert (error.line, error.column) == (line, column), str(error)
    assert words in str(error)
