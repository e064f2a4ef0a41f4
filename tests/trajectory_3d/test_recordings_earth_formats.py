"""What readers of places on Earth make of small files whose content is known."""

import numpy as np
import pytest
from field_samples import GEOJSON, GPX, IGC, KML, fault_of, fit, kmz, read_bytes

from examples.trajectory_3d.recordings import RecordingError, Trajectory
from examples.trajectory_3d.recordings.epochs import civil_ns, iso_ns, time_of_day_ns
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.safe_xml import parse_xml


def _places(track: Trajectory) -> np.ndarray:
    assert (track.unit, track.frame) == ("m", "enu")
    return to_geodetic(track.points[:, :3], track.origin)


def test_gpx_segments_are_tracks_and_points_without_a_time_are_counted_and_left_out(tmp_path):
    first, second = read_bytes(tmp_path, GPX)
    assert (first.track, second.track) == ("hike, segment 1", "hike, segment 2")
    day = civil_ns(2010, 10, 3)
    assert first.stamps_ns().tolist() == [
        day + time_of_day_ns(15, 3, "30.123456789"),
        day + time_of_day_ns(15, 3, 31),  # 17:03:31 two hours east
    ]
    assert np.allclose(_places(first), [[45.1, 14.1, 100.5], [45.3, 14.1, 102.5]], atol=1e-9)
    assert first.notes == ("1 of 3 points have no time and are left out",)
    assert first.clock == "utc"


def test_gpx_equals_what_gpxpy_reads(tmp_path):
    gpxpy = pytest.importorskip("gpxpy")
    (segment, _) = gpxpy.parse(GPX.decode()).tracks[0].segments
    expected = [(each.latitude, each.longitude, each.elevation) for each in segment.points if each.time]
    assert np.allclose(_places(read_bytes(tmp_path, GPX)[0]), expected, atol=1e-9)


def test_gpx_without_any_times_needs_a_rate(tmp_path):
    bare = GPX
    for line in GPX.splitlines():
        start, end = line.find(b"<time>"), line.find(b"</time>")
        if start >= 0:
            bare = bare.replace(line[start : end + 7], b"")
    assert "--rate" in str(fault_of(tmp_path, bare))
    first, second = read_bytes(tmp_path, bare, rate=2.0)
    assert (first.clock, first.times.tolist(), len(second)) == ("index", [0.0, 0.5, 1.0], 1)


def test_gpx_without_altitudes_is_laid_at_zero_and_says_so(tmp_path):
    track = read_bytes(tmp_path, GPX.replace(b"<ele>1</ele>", b""))[1]
    assert track.notes == ("no altitudes; the path is laid at 0 m",)
    assert track.origin.altitude == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        (b'lat="45.2"', b'lat="95.2"', 6, "latitude 95.2"),
        (b'lat="45.2"', b'lat="x"', 6, "lat is 'x'"),
        (b'lat="45.2"', b"", 6, "lat is ''"),
        (b"<ele>101.5", b"<ele>high", 6, "'high'"),
        (b"2010-10-03T16", b"2010-13-03T16", 10, "'2010-13-03T16"),
        (b'</trkpt>\n<trkpt lat="45.3"', b'</trkp>\n<trkpt lat="45.3"', 6, "mismatched tag"),
    ],
)
def test_gpx_faults(tmp_path, old, new, line, words):
    assert old in GPX
    error = fault_of(tmp_path, GPX.replace(old, new))
    assert error.line == line
    assert words in str(error)


def test_a_cut_xml_file_is_an_error_with_its_line(tmp_path):
    error = fault_of(tmp_path, GPX[:400])
    assert (error.line or 0) >= 5


@pytest.mark.parametrize(
    "doctype",
    [
        b'<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        b'<!DOCTYPE gpx [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE gpx SYSTEM "http://localhost/evil.dtd">',
    ],
)
def test_xml_with_a_document_type_is_refused(tmp_path, doctype):
    error = fault_of(tmp_path, GPX.replace(b"?>\n", b"?>\n" + doctype + b"\n", 1), format="gpx")
    assert "document type" in str(error)
    assert error.line == 2


def test_xml_nested_absurdly_deep_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="nested"):
        parse_xml(tmp_path, b"<a>" * 5000 + b"</a>" * 5000)


def test_igc_crosses_midnight_and_takes_further_digits(tmp_path):
    (track,) = read_bytes(tmp_path, IGC)
    day = civil_ns(1999, 12, 31)
    assert track.stamps_ns().tolist() == [day + time_of_day_ns(23, 59, second) for second in (58, 59)] + [
        civil_ns(2000, 1, 1, time_of_day_ns(0, 0, 1))
    ]
    places = _places(track)
    assert places[0, 0] == pytest.approx(46 + 12.58412 / 60, abs=1e-9)  # LAD puts 12 behind the thousandths
    assert places[1, 1] == pytest.approx(-(12 + 49.6997 / 60), abs=1e-9)
    assert np.allclose(places[[0, 2], 2], [1046, 1044], atol=1e-6)
    assert track.points[:, 3].tolist() == [988, 987, 986]
    assert track.names[3] == "pressure_altitude"
    assert track.notes == ("1 of 3 fixes have no valid GPS altitude (validity V)",)


def test_igc_without_gps_altitude_takes_the_pressure_altitude_and_says_so(tmp_path):
    low = IGC.replace(b"0104612", b"0000012").replace(b"0104456", b"0000056")
    (track,) = read_bytes(tmp_path, low)
    assert np.allclose(_places(track)[:, 2], [988, 987, 986], atol=1e-6)
    assert "no GPS altitudes; the height is the pressure altitude" in track.notes


def test_igc_without_a_date_counts_from_an_unknown_midnight(tmp_path):
    (track,) = read_bytes(tmp_path, IGC.replace(b"HFDTE311299\r\n", b""))
    assert track.clock == "elapsed"
    assert track.start_ns == time_of_day_ns(23, 59, 58)


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "words"),
    [
        (b"B2359594612581N", b"B2359594612581X", 5, 15, "N or S is 'X'"),
        (b"B2359594612581N", b"B2369594612581N", 5, 2, "no time of day"),
        (b"B2359594612581N", b"B2359599912581N", 5, 8, "latitude 99"),
        (
            b"B2359594612581N01249699WV0098700000347",
            b"B2359594612581N01249699WV0098",
            5,
            26,
            "pressure altitude",
        ),
        (b"HFDTE311299", b"HFDTE311399", 2, 6, "month"),
    ],
)
def test_igc_faults(tmp_path, old, new, line, column, words):
    assert old in IGC
    error = fault_of(tmp_path, IGC.replace(old, new))
    assert (error.line, error.column) == (line, column), str(error)
    assert words in str(error)


def test_kml_tracks_have_times_and_lines_need_a_rate(tmp_path):
    (walk,) = read_bytes(tmp_path, KML)
    assert walk.stamps_ns().tolist() == [civil_ns(2020, 1, 1), civil_ns(2020, 1, 1) + 1_500_000_000]
    assert np.allclose(_places(walk), [[47.3, 8.5, 400], [47.4, 8.6, 410]], atol=1e-9)
    assert "1 path with 3 points left out" in walk.notes[0]
    _, line = read_bytes(tmp_path, KML, rate=1.0)
    assert (line.clock, line.track, len(line)) == ("index", "line", 3)
    lines_only = KML[: KML.index(b"<Placemark><name>walk")] + KML[KML.index(b"<Placemark><name>line") :]
    assert "--rate" in str(fault_of(tmp_path, lines_only))


def test_kml_timed_points_of_one_folder_are_a_track(tmp_path):
    marks = b"".join(
        b"<Placemark><TimeStamp><when>2020-01-01T00:00:0%dZ</when></TimeStamp><Point><coordinates>"
        b"8.5,47.%d,400</coordinates></Point></Placemark>" % (index, index)
        for index in range(3)
    )
    (track,) = read_bytes(tmp_path, b"<kml><Folder><name>balloon</name>" + marks + b"</Folder></kml>")
    assert (track.track, track.times.tolist()) == ("balloon", [0, 1, 2])


def test_kmz_is_read_without_unpacking_it(tmp_path):
    (plain,) = read_bytes(tmp_path, KML)
    (packed,) = read_bytes(tmp_path, kmz(name="../../escape.kml"))
    assert np.array_equal(plain.points, packed.points)
    assert not list(tmp_path.parent.parent.glob("escape.kml"))


def test_kmz_faults(tmp_path, monkeypatch):
    assert "damaged" in str(fault_of(tmp_path, kmz()[:-30], name="a.kmz"))
    assert "without a .kml" in str(fault_of(tmp_path, kmz(name="a.txt"), name="a.kmz"))
    monkeypatch.setattr("examples.trajectory_3d.recordings.readers.kml._LARGEST", 100)
    assert "more than" in str(fault_of(tmp_path, kmz(), name="a.kmz"))


def test_kml_faults(tmp_path):
    error = fault_of(tmp_path, KML.replace(b"<gx:coord>8.6 47.4 410</gx:coord>", b""))
    assert (error.line, "2 times and 1 point" in str(error)) == (3, True)
    error = fault_of(tmp_path, KML.replace(b"8.6,47.4,410", b"8.6;47.4"), rate=1.0)
    assert (error.line, "'8.6;47.4'" in str(error)) == (7, True)


def test_fit_takes_semicircles_and_scaled_altitude_and_keeps_records_without_a_fix(tmp_path):
    pytest.importorskip("fitdecode")
    (track,) = read_bytes(tmp_path, fit())
    assert track.stamps_ns()[0] == civil_ns(1989, 12, 31) + 1_000_000_000 * 10**9
    assert track.times.tolist() == [0, 1, 3]
    places = _places(track)
    assert places[0] == pytest.approx(
        [568210171 * 180 / 2**31, -630113287 * 180 / 2**31, 3161 / 5 - 500], abs=1e-9
    )
    assert np.isnan(track.points[1]).all()
    assert track.notes == ("1 of 3 records have no fix",)


def test_fit_damage_is_found_by_its_checksum(tmp_path):
    pytest.importorskip("fitdecode")
    content = bytearray(fit())
    content[40] ^= 1
    assert "damaged FIT" in str(fault_of(tmp_path, bytes(content)))
    assert "damaged FIT" in str(fault_of(tmp_path, fit()[:-10]))
    assert "at least one fix" in str(fault_of(tmp_path, fit([(1000000000, None, None, 1)])))


def test_geojson_times_among_the_properties(tmp_path):
    (track,) = read_bytes(tmp_path, GEOJSON)
    assert (track.track, track.times.tolist()) == ("walk", [0, 2])
    assert np.allclose(_places(track), [[47.3, 8.5, 400], [47.5, 8.7, 420]], atol=1e-9)
    nested = GEOJSON.replace(b'"coordTimes": [', b'"coordinateProperties": {"times": [').replace(
        b'"]}}', b'"]}}}'
    )
    assert read_bytes(tmp_path, nested)[0].times.tolist() == [0, 2]


def test_geojson_faults(tmp_path):
    assert "2 times for 3 points" in str(fault_of(tmp_path, GEOJSON.replace(b"null, ", b"")))
    assert "latitude 97.3 of point 0" in str(fault_of(tmp_path, GEOJSON.replace(b"47.3", b"97.3")))
    assert fault_of(tmp_path, GEOJSON[:-4]).column is not None
    assert "--rate" in str(fault_of(tmp_path, GEOJSON.replace(b"coordTimes", b"other")))
    assert "no LineString" in str(fault_of(tmp_path, b'{"type": "FeatureCollection", "features": []}'))


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-02", 86_400 * 10**9),
        ("1970-002T00:00:00.000000001", 86_400 * 10**9 + 1),
        ("2016-12-31T23:59:60Z", civil_ns(2017, 1, 1)),  # a leap second counts as the next one
        ("1969-12-31T23:59:59.5-00:30", 30 * 60 * 10**9 - 500_000_000),
        ("2000-366T24:00:00", civil_ns(2001, 1, 1)),
    ],
)
def test_dates(text, stamp):
    assert iso_ns(text) == stamp


@pytest.mark.parametrize(
    "text", ["2001-366", "2001-000", "2001-02-29", "2001-01-01T25:00:00", "2500-01-01", "now", ""]
)
def test_dates_that_do_not_exist(text):
    with pytest.raises(ValueError):  # noqa: PT011
        iso_ns(text)
