"""Text tables: which columns are what, what their times count, and where they are wrong."""

import gzip
from datetime import UTC, datetime

import numpy as np
import pytest

from examples.trajectory_3d.recordings import ReadOptions, RecordingError, read, write
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.registry import Match, formats
from examples.trajectory_3d.recordings.source import Source


@pytest.fixture
def table(tmp_path):
    """Reads a text as a file."""

    def read_text(text, name="a.csv", **options):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read(path, ReadOptions(**options))

    return read_text


def one(tracks):
    assert len(tracks) == 1
    return tracks[0]


def unix_ns(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("header", "frame", "unit"),
    [
        ("time,x,y,z", "xyz", "unknown"),
        ("Time,X,Y,Z", "xyz", "unknown"),
        ("t [s],x [mm],y [mm],z [mm]", "xyz", "mm"),
        ("time_s,pos_x,pos_y,pos_z", "xyz", "unknown"),
        ("t,px,py,pz", "xyz", "unknown"),
        ("seconds,x_estimate,y_estimate,z_estimate", "xyz", "unknown"),
        ("time,x_m,y_m,z_m", "xyz", "m"),
        ("time,North,East,Down", "ned", "unknown"),
        ("time,east (m),north (m),up (m)", "enu", "m"),
        ("time,ecef_x,ecef_y,ecef_z", "itrf", "unknown"),
        ("secs,position.x,position.y,position.z", "xyz", "unknown"),
        ("secs,field.pose.position.x,field.pose.position.y,field.pose.position.z", "xyz", "unknown"),
    ],
)
def test_names_tell_position_frame_and_unit(table, header, frame, unit):
    track = one(table(f"{header}\n0,1,2,3\n0.5,4,5,6\n"))
    np.testing.assert_array_equal(track.points, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(track.times, [0, 0.5])
    assert (track.frame, track.unit, track.clock, track.names) == (frame, unit, "elapsed", ("x", "y", "z"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("time;x;y;z\n0;1,5;2,5;3\n1;4,5;5;6\n", "semicolons and decimal commas"),
        ("time\tx\ty\tz\n0\t1.5\t2.5\t3\n1\t4.5\t5\t6\n", "tabs"),
        ("time  x   y z\n 0  1.5 2.5   3\n1 4.5\t5 6 \n", "blanks"),
        ("\ufefftime,x,y,z\r\n0,1.5,2.5,3\r\n1,4.5,5,6\r\n", "byte order mark and CRLF"),
        (
            "# made by hand\n\ntime,x,y,z\n0,1.5,2.5,3\n# half\n\n1,4.5,5,6",
            "comments, blank lines, no last end",
        ),
        ("# time x y z\n0 1.5 2.5 3\n1 4.5 5 6\n", "names in a comment"),
        ("% t x y z\n0 1.5 2.5 3\n1 4.5 5 6\n", "names in MATLAB's comment"),
        ('"time","x","y","z","what"\n"0",1.5,2.5,3,"a, b"\n"1",4.5,5,6,"c"\n', "quotes"),
        ("time,x,y,z\ns,m,m,m\n0,1.5,2.5,3\n1,4.5,5,6\n", "a line of units"),
        ("time,x,y,z,\n0,1.5,2.5,3,\n1,4.5,5,6,\n", "separators at the ends"),
        ("time,x,y,z\n0,1.5,2.5,3,\n1,4.5,5,6,\n", "separators at the ends of rows"),
        ("z,junk,y,time,x\n3,a,2.5,0,1.5\n6,b,5,1,4.5\n", "another order"),
        ("0 1.5 2.5 3\n1.5 4.5 5 6\n2 7 8 9\n", "no header, and a first column that alone rises"),
        ("time|x|y|z\n0|1.5|2.5|3\n1|4.5|5|6\n", "bars"),
        ("time,x,y,z\r0,1.5,2.5,3\r1,4.5,5,6\r", "old Mac"),
    ],
)
def test_ways_to_write_the_same(table, text, name):
    if name.startswith("no header"):
        text = text.replace("2 7 8 9\n", "2 1 4 1\n")
    track = one(table(text))
    np.testing.assert_array_equal(track.points[:2], [[1.5, 2.5, 3], [4.5, 5, 6]])


def test_utf_16_and_latin_1(table):
    rows = "time,x,y,z,who\n0,1,2,3,Jürgen\n1,4,5,6,Jürgen\n"
    for encoding in ("utf-16", "cp1252", "utf-8"):
        assert one(table(rows.encode(encoding), track="who")).track == "Jürgen"


def test_compressed(table):
    assert len(one(table(gzip.compress(b"time,x,y,z\n0,1,2,3\n1,2,3,4\n"), "a.csv.gz"))) == 2
    with pytest.raises(RecordingError, match="gzip"):
        table(
            gzip.compress("".join(["time,x,y,z\n", *(f"{i},1,{i * i},3\n" for i in range(5000))]).encode())[
                :-40
            ],
            "a.csv.gz",
        )


@pytest.mark.parametrize(
    ("stamp", "header", "options", "expected", "clock"),
    [
        ("1520531124177875537", "#timestamp [ns]", {}, 1520531124177875537, "utc"),
        ("1520531124177875537", "timestamp", {}, 1520531124177875537, "utc"),
        ("1520531124177875", "timestamp", {}, 1520531124177875000, "utc"),
        ("1520531124177", "timestamp", {}, 1520531124177000000, "utc"),
        ("1520531124", "timestamp", {}, 1520531124000000000, "utc"),
        ("1520531124.177875537", "timestamp", {}, 1520531124177875537, "utc"),
        ("1234.000000001", "time", {}, 1234000000001, "elapsed"),
        ("1234", "time_ms", {}, 1234000000, "elapsed"),
        ("1234", "time (us)", {}, 1234000, "elapsed"),
        ("90", "time", {"time_unit": "min"}, 5400 * 10**9, "elapsed"),
        ("2451545.0", "jd", {}, unix_ns(2000, 1, 1, 12), "utc"),  # J2000.0
        ("51544.5", "MJD", {}, unix_ns(2000, 1, 1, 12), "utc"),
        ("730486.5", "datenum", {}, unix_ns(2000, 1, 1, 12), "utc"),  # MATLAB's manual
        ("2018-05-09T14:59:05Z", "time", {}, unix_ns(2018, 5, 9, 14, 59, 5), "utc"),
        ("2018-05-09 14:59:05.25", "time", {}, unix_ns(2018, 5, 9, 14, 59, 5) + 250_000_000, "utc"),
        ("2018-05-09T14:59:05.000000001+02:00", "time", {}, unix_ns(2018, 5, 9, 12, 59, 5) + 1, "utc"),
        ("2018/05/09 14:59:05", "time", {}, unix_ns(2018, 5, 9, 14, 59, 5), "utc"),
        ("20180509T145905", "time", {}, unix_ns(2018, 5, 9, 14, 59, 5), "utc"),
        ("31/05/2018 14:59:05", "time", {}, unix_ns(2018, 5, 31, 14, 59, 5), "utc"),
        ("05/31/2018 02:59:05 PM", "time", {}, unix_ns(2018, 5, 31, 14, 59, 5), "utc"),
        ("09.05.2018 14:59", "time", {}, unix_ns(2018, 5, 9, 14, 59), "utc"),
        ("09-May-2018 14:59:05", "time", {}, unix_ns(2018, 5, 9, 14, 59, 5), "utc"),
        ("2021-227T12:00:00.5", "time", {}, unix_ns(2021, 8, 15, 12) + 500_000_000, "utc"),
        ("14:59:05.5", "time", {}, 53_945_500_000_000, "elapsed"),
        ("1276345678.5", "gps_time", {}, 1276345678_500000000, "gps"),
    ],
)
def test_stamps_are_exact(table, stamp, header, options, expected, clock):
    track = one(table(f"{header},x,y,z\n{stamp},1,2,3\n{stamp},4,5,6\n", **options))
    assert (track.start_ns, track.clock) == (expected, clock)
    np.testing.assert_array_equal(track.stamps_ns(), [expected] * 2)


@pytest.mark.parametrize(
    ("header", "cells", "expected", "clock"),
    [
        ("date,time", "2018-05-09,14:59:05", unix_ns(2018, 5, 9, 14, 59, 5), "utc"),
        ("Date,Time", "31/05/2018,14:59:05", unix_ns(2018, 5, 31, 14, 59, 5), "utc"),
        ("date,time", "20180509,14:59:05", unix_ns(2018, 5, 9, 14, 59, 5), "utc"),
        (
            "year,month,day,hour,minute,second",
            "2018,5,9,14,59,5.25",
            unix_ns(2018, 5, 9, 14, 59, 5) + 250_000_000,
            "utc",
        ),
        ("year,doy", "2021,227.5", unix_ns(2021, 8, 15, 12), "utc"),
        ("year,doy,hour", "2020,366,6", unix_ns(2020, 12, 31, 6), "utc"),
        ("week,tow", "2270,194670.2", (2270 * 604800 + 194670) * 10**9 + 200_000_000, "gps"),
    ],
)
def test_stamps_of_several_columns(table, header, cells, expected, clock):
    track = one(table(f"{header},x,y,z\n{cells},1,2,3\n{cells},4,5,6\n"))
    assert (track.start_ns, track.clock) == (expected, clock)


def test_zones_are_noted_where_missing(table):
    assert "UTC" in " ".join(one(table("time,x,y,z\n2018-05-09 14:59:05,1,2,3\n")).notes)
    assert not one(table("time,x,y,z\n2018-05-09 14:59:05Z,1,2,3\n")).notes


def test_day_and_month_that_could_be_either_are_refused(table):
    with pytest.raises(RecordingError, match="told apart"):
        table("time,x,y,z\n08/09/2020 18:21:47,1,2,3\n")
    assert one(table("time,x,y,z\n08/09/2020,1,2,3\n13/09/2020,1,2,3\n")).start_ns == unix_ns(2020, 9, 8)


def test_later_rows_have_the_order_and_kind_of_the_first(tmp_path):
    path = tmp_path / "long.csv"
    cells = [f"{1 + i // 2000:02d}/07/2020 10:00:{i % 60:02d}" for i in range(26_000)]  # 1 to 13 July
    path.write_text("time,x,y,z\n" + "".join(f"{cell},1,2,3\n" for cell in reversed(cells)))
    pieces = [
        track for tracks in formats()["csv"].stream(Source(path), ReadOptions(), 3000) for track in tracks
    ]
    stamps = np.concatenate([piece.stamps_ns() for piece in pieces])
    assert len(pieces) > 3
    assert stamps.min() == unix_ns(2020, 7, 1, 10)
    assert stamps.max() < unix_ns(2020, 7, 13, 11)
    path.write_text("time,x,y,z\n" + "2020-07-01 10:00:00,1,2,3\n" * 9000 + "10:00:00,1,2,3\n" * 9000)
    with pytest.raises(RecordingError, match="no date like|times of day"):
        list(formats()["csv"].stream(Source(path), ReadOptions(), 2000))


def test_frames_need_a_rate(table):
    text = "frame,x,y,z\n100,1,2,3\n102,4,5,6\n"
    with pytest.raises(RecordingError, match="--rate"):
        table(text)
    track = one(table(text, rate=50))
    np.testing.assert_array_equal(track.stamps_ns(), [2 * 10**9, 2_040_000_000])
    assert track.clock == "index"


def test_without_times_a_rate_is_needed(table):
    with pytest.raises(RecordingError, match=r"--time.*--rate"):
        table("x,y,z\n1,2,3\n4,5,6\n")
    track = one(table("x,y,z\n1,2,3\n4,5,6\n", rate=4))
    assert track.clock == "index"
    np.testing.assert_array_equal(track.times, [0, 0.25])
    assert "not used" in " ".join(one(table("time,x,y,z\n0,1,2,3\n1,2,3,4\n", rate=4)).notes)


def test_degrees_become_metres_and_go_back(table):
    rows = [(47.0, 11.0, 600.0), (47.001, 11.0, 610.0), (47.0, 11.001, 600.0)]
    text = "\n".join(f"{i},{lon},{lat},{alt}" for i, (lat, lon, alt) in enumerate(rows))
    track = one(table(f"time,location-long,location-lat,height-above-msl\n{text}\n"))
    np.testing.assert_allclose(to_geodetic(track.points, track.origin), rows, atol=1e-8)
    assert track.frame == "enu"
    # A minute of arc of the meridian is about a nautical mile.
    np.testing.assert_allclose(track.points[1, 1], 0.06 * 1852, rtol=3e-3)


def test_altitudes_in_feet_depths_and_none(table):
    feet = one(table("time,lat,lon,alt_ft\n0,47,11,1000\n1,47,11,2000\n"))
    np.testing.assert_allclose(feet.points[1, 2], 304.8, atol=1e-6)
    depth = one(table("time,lat,lon,depth\n0,47,11,10\n1,47,11,30\n"))
    np.testing.assert_allclose(depth.points[1, 2], -20, atol=1e-6)
    assert depth.origin.altitude == -10
    flat = one(table("time,lat,lon\n0,47,11\n1,47,11\n"))
    assert flat.points.shape == (2, 3)
    assert "altitude" in " ".join(flat.notes)
    given = one(table("time,lat,lon,alt\n0,47,11,\n1,47,11,\n", position=("lat", "lon")))
    assert np.isfinite(given.points).all()
    with pytest.raises(RecordingError, match="no sample"):
        table("time,lat,lon,alt\n0,47,11,\n1,47,11,\n")


def test_traffic_has_feet_and_a_course_called_track(table):
    text = "timestamp,icao24,callsign,latitude,longitude,altitude,groundspeed,track,vertical_rate\n"
    text += "".join(
        f"{1.6e9 + i:.0f},3c66,A,48,{8 + i / 1000},{1000 * i},250,{180 + i},0\n" for i in range(3)
    )
    track = one(table(text))
    assert track.track == "3c66"
    np.testing.assert_allclose(to_geodetic(track.points, track.origin)[:, 2], [0, 304.8, 609.6], atol=1e-6)


def test_places_off_the_earth_are_lost_and_no_degrees_refused(table):
    track = one(table("time,lat,lon,alt\n0,47,11,1\n1,470,11,1\n2,47,11,2\n3,47,11,2\n"))
    assert np.isnan(track.points).all(axis=1).tolist() == [False, True, False, False]
    assert "latitude" in " ".join(track.notes)
    with pytest.raises(RecordingError, match=":2:2: .*latitude"):
        table("time,lat,lon,alt\n0,470000000,110000000,1\n1,470000000,110000000,1\n")


def test_interleaved_tracks_keep_their_order(table):
    rng = np.random.default_rng(0)
    who = rng.integers(0, 4, 200)
    text = "".join(f"{i},{w},{i},{-i},0\n" for i, w in enumerate(who))
    tracks = table(f"time,id,x,y,z\n{text}")
    assert [track.track for track in tracks] == [str(w) for w in dict.fromkeys(who.tolist())]
    for track in tracks:
        np.testing.assert_array_equal(track.points[:, 0], np.flatnonzero(who == int(track.track)))


def test_an_id_of_rows_is_no_track(table):
    assert len(table("id,time,x,y,z\n1,0,1,2,3\n2,1,1,2,3\n3,2,1,2,3\n")) == 1


def test_ids_that_all_move_at_once_are_tracks(table):
    text = "".join(f"{i},{t},{i},0,0\n" for t in range(4) for i in range(500))
    assert len(table(f"id,time,x,y,z\n{text}")) == 500


def test_the_one_column_of_dates_is_the_time_whatever_its_name(table):
    track = one(table("Zeit;x;y;z\n2018-05-09T14:59:05Z;1;2;3\n2018-05-09T14:59:06Z;1;2;3\n"))
    assert track.start_ns == unix_ns(2018, 5, 9, 14, 59, 5)
    bare = one(table("2018-05-09T14:59:05Z 1 2 3\n2018-05-09T14:59:06Z 1 2 3\n"))
    assert (bare.start_ns, bare.points.shape) == (track.start_ns, (2, 3))


def test_missing_cells_are_lost_points_and_rows_without_time_go(table):
    track = one(table("time,x,y,z\n0,1,,3\n,4,5,6\n2,NaN,null,NA\n3, ,1,inf\n"))
    np.testing.assert_array_equal(track.times, [0, 2, 3])
    assert np.isnan(track.points).sum(axis=1).tolist() == [1, 3, 2]
    assert "1 of 4 rows have no time" in " ".join(track.notes)


def test_chosen_columns(table):
    text = "a,b,c,d,e,f\n0,1,2,3,4,5\n1,2,3,4,5,6\n"
    track = one(table(text, time="a", position=("c", "5"), extra=("F",)))
    assert track.names == ("c", "e", "f")
    np.testing.assert_array_equal(track.points, [[2, 4, 5], [3, 5, 6]])
    single = one(table(text, time="1", position=("2",)))
    assert single.points.shape == (2, 1)
    with pytest.raises(RecordingError, match="did you mean 'a'|no column 'aa'"):
        table(text, time="aa", position=("b",))
    with pytest.raises(RecordingError, match="no column '7'"):
        table(text, time="1", position=("7",))
    with pytest.raises(RecordingError, match="different columns"):
        table(text, time="1", position=("2", "b"))


def test_chosen_date_and_time(table):
    text = "2018-05-09 14:59:05 1 2 3\n2018-05-09 14:59:06 1 2 4\n"
    track = one(table(text, time="1+2", position=("3", "4", "5")))
    assert track.start_ns == unix_ns(2018, 5, 9, 14, 59, 5)


def test_header_and_separator_as_given(table):
    track = one(table("1,2,3,4\n0,1,2,3\n1,4,5,6\n", header=True, time="1", position=("2", "3", "4")))
    assert len(track) == 2
    assert len(one(table("0;1;2;3\n1;4;5;6\n", header=False, time="1", separator=";"))) == 2
    with pytest.raises(RecordingError, match="separator"):
        table("0;1\n", separator="ab")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("0 1 2 3 4\n1 2 3 4 5\n", {}, "--position"),
        ("2 1 48 90.8 65.3 -6416\n3 1 72 89.5 64.9 -6419\n", {}, "--track"),
        ("0 1 2 3\n1 2 3 4\n2 3 4 5\n", {}, "several things"),  # all rise
        ("0 1 2 3\n1 4 3 4\n2 3 4 1\n", {}, "several things"),  # the first may count rows
        ("time,x,y,z,lat,lon,alt\n0,1,2,3,4,5,6\n", {}, "the position may be"),
        ("time,pos_x,pos_y,pos_z,gt_x,gt_y,gt_z\n0,1,2,3,4,5,6\n", {}, "the position may be"),
        ("time,vx,vy,vz\n0,1,2,3\n", {}, "no column is called like a position"),
        ("time,lat,lon,depth,altitude\n0,1,2,3,4\n", {}, "the position may be"),
        ("time,x,y,z\n", {}, "without rows"),
        ("time,lat,lon,alt\n0,1,2,3\n", {"frame": "ned"}, "frame"),
    ],
)
def test_what_may_be_several_things_is_asked_for(table, text, options, message):
    with pytest.raises(RecordingError, match=message):
        table(text, **options)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("time,x,y,z\n0,1,2,3\n1,2,oops,4\n", ":3:3: 'oops'"),
        ("# c\n\ntime,x,y,z\n0,1,2,3\n\n# d\n1,2,3\n", ":7:3: 3 cells"),
        ("time x y z\n0 1 2 3\n1 2 3 4 5\n", ":3:5: 5 cells"),
        ("time,x,y,z\n2018-05-09T10:00:00,1,2,3\n2018-13-09T10:00:00,1,2,3\n", ":3:1: no such date"),
        ("time,x,y,z\n2018-05-09T10:00:00,1,2,3\nyesterday,1,2,3\n", ":3:1: 'yesterday'"),
        ("time,x,y,z\n0,1,2,3\n1e30,1,2,3\n", ":3:1: a time"),
        ("time,x,y,z\n0,1,2,3\ntime,x,y,z\n0,1,2,3\n", ":3:1: 'time'"),
        ("time;x;y;z\n0;1,5;2;3\n1;4,5;5,x;6\n", ":3:3: '5.x'"),
        ("time,x,y,z\n" + "0,1,2,3\n" * 5000 + "0,1,2,bad\n", ":5002:4: 'bad'"),
    ],
)
def test_faults_say_line_and_cell(table, text, place):
    with pytest.raises(RecordingError) as fault:
        table(text)
    assert place in str(fault.value)


def test_streams_give_what_reading_gives(tmp_path):
    rng = np.random.default_rng(1)
    count = 20_000
    rows = np.column_stack([np.arange(count) * 0.01, rng.integers(0, 3, count), rng.normal(size=(count, 3))])
    path = tmp_path / "long.csv"
    np.savetxt(path, rows, delimiter=",", header="time,id,x,y,z", comments="", fmt="%.17g")
    whole = {track.track: track for track in read(path)}
    pieces = {name: [] for name in whole}
    parts = 0
    for tracks in formats()["csv"].stream(Source(path), ReadOptions(), 3000):
        parts += 1
        for track in tracks:
            pieces[track.track].append(track)
    assert parts > 3
    for name, track in whole.items():
        np.testing.assert_array_equal(np.concatenate([each.points for each in pieces[name]]), track.points)
        np.testing.assert_array_equal(
            np.concatenate([each.stamps_ns() for each in pieces[name]]), track.stamps_ns()
        )
        np.testing.assert_array_equal(track.points, rows[rows[:, 1] == int(name), 2:])


def test_streams_keep_origin_and_count(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text("lat,lon,alt\n" + "".join(f"47,{11 + i / 1e5:.5f},{i}\n" for i in range(9000)))
    options = ReadOptions(rate=10)
    pieces = [track for tracks in formats()["csv"].stream(Source(path), options, 2000) for track in tracks]
    whole = one(read(path, options))
    assert len(pieces) > 2
    assert {piece.origin for piece in pieces} == {whole.origin}
    np.testing.assert_array_equal(np.concatenate([piece.points for piece in pieces]), whole.points)
    np.testing.assert_array_equal(np.concatenate([piece.stamps_ns() for piece in pieces]), whole.stamps_ns())


def test_numbers_are_read_to_the_last_digit(table):
    rng = np.random.default_rng(2)
    points = rng.normal(size=(300, 3)) * 10.0 ** rng.integers(-8, 8, (300, 3))
    text = "".join(f"{i},{','.join(map(repr, map(float, row)))}\n" for i, row in enumerate(points))
    np.testing.assert_array_equal(one(table(f"time,x,y,z\n{text}")).points, points)


def test_sniffing_leaves_certainty_to_signatures(tmp_path):
    sniff = formats()["csv"].sniff
    for text, expected in {
        "time,x,y,z\n0,1,2,3\n": Match.LIKELY,
        "0 1 2 3\n1 2 3 4\n": Match.POSSIBLE,
        "Dear all,\nthis is a letter.\nYours\n": Match.NO,
        "\0\1\2": Match.NO,
    }.items():
        path = tmp_path / "unnamed"
        path.write_text(text)
        assert sniff(Source(path)) == expected


def test_further_columns_are_no_position(tmp_path):
    """Of ``x, y`` with a speed beside them, the speed is not taken for a third coordinate."""
    path = tmp_path / "flat.csv"
    path.write_text("time,x,y,speed\n" + "".join(f"{i},{i},{2 * i},9\n" for i in range(5)))
    options = ReadOptions(position=("x", "y"), extra=("speed",))
    (track,) = read(path, options)
    assert (track.dimensions, track.names) == (2, ("x", "y", "speed"))
    copy = tmp_path / "copy.parquet"
    write(copy, [track])
    (again,) = read(copy)
    assert again.dimensions == 2
