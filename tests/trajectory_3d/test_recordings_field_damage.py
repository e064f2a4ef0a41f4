"""Damaged files: an error that says so or tracks, never another exception."""

import numpy as np
import pytest
from field_samples import kmz, samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.trajectory_3d.recordings import ReadOptions, RecordingError, read

_SAMPLES = samples()
_TEXT_PIECES = st.sampled_from(
    [
        *(
            b"",
            b"\n",
            b" ",
            b"0",
            b"-1",
            b"nan",
            b"inf",
            b"1e999",
            b"1e308",
            b"1e-999",
            b"9" * 25,
            b"\xff",
            b"\x00",
        ),
        *(b",", b"{", b"}", b"\xef\xbb\xbf", b"[]", b"null", b"\r", b"\xd9\xa3", b"--", b"1_0", b"<", b"&a;"),
        *(b"\xc2\x85", b'"', b"T", b"Z"),
    ]
)
_QUIET = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def _survives(path, options: ReadOptions) -> None:
    try:
        found = read(path, options)
    except RecordingError:
        return
    for track in found:
        assert np.isfinite(track.times).all()
        assert not np.isinf(track.points).any()
        track.stamps_ns()


def _forced(name: str, options: ReadOptions) -> ReadOptions:
    return ReadOptions(format=name, rate=options.rate)


@pytest.mark.parametrize("name", sorted(_SAMPLES))
def test_random_bytes(tmp_path, name):
    _, content, options = _SAMPLES[name]
    path = tmp_path / "a.bin"

    @_QUIET
    @given(data=st.binary(max_size=300), start=st.integers(0, 40))
    def check(data, start):
        path.write_bytes(content[:start] + data)
        _survives(path, _forced(name, options))
        _survives(path, ReadOptions())

    check()


@pytest.mark.parametrize("name", sorted(_SAMPLES))
def test_mutated_files(tmp_path, name):
    _, content, options = _SAMPLES[name]
    path = tmp_path / "a.bin"

    @_QUIET
    @given(
        edits=st.lists(
            st.tuples(st.integers(0, len(content)), st.integers(0, 6), _TEXT_PIECES | st.binary(max_size=4)),
            min_size=1,
            max_size=3,
        )
    )
    def check(edits):
        damaged = content
        for place, length, piece in edits:
            damaged = damaged[:place] + piece + damaged[place + length :]
        path.write_bytes(damaged)
        _survives(path, _forced(name, options))

    check()


@pytest.mark.parametrize("name", sorted(_SAMPLES))
def test_files_that_were_cut_off(tmp_path, name):
    _, content, options = _SAMPLES[name]
    path = tmp_path / "a.bin"
    for length in range(0, len(content), max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        _survives(path, _forced(name, options))


@pytest.mark.parametrize(
    "name", ["gpx", "kml", "bvh", "sp3", "oem-xml", "c3d", "fit", "trajectory-json", "geojson"]
)
def test_a_cut_file_of_these_formats_is_never_taken_for_whole(tmp_path, name):
    _, content, options = _SAMPLES[name]
    path = tmp_path / "a.bin"
    for share in (0.6, 0.8, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        try:
            found = read(path, _forced(name, options))
        except RecordingError:
            continue
        assert all(track.notes for track in found)


def test_mutated_archives(tmp_path):
    path, content = tmp_path / "a.kmz", kmz()
    near_end = st.integers(len(content) - 100, len(content) - 1)

    @_QUIET
    @given(st.lists(st.tuples(st.integers(0, len(content) - 1) | near_end, st.integers(0, 255)), min_size=1))
    def check(edits):
        damaged = bytearray(content)
        for place, value in edits:
            damaged[place] = value
        path.write_bytes(damaged)
        _survives(path, ReadOptions(format="kml", rate=1.0))

    check()


def test_a_velocity_before_the_first_epoch_is_an_error(tmp_path):
    path = tmp_path / "a.sp3"
    content = _SAMPLES["sp3"][1]
    path.write_bytes(
        content.replace(b"*  2017  2 14  0  0", b"/* 2017  2 14  0  0", 1).replace(b"\nPG01", b"\nVG01", 1)
    )
    with pytest.raises(RecordingError, match="without its position"):
        read(path)


def test_damaged_gzip_is_an_error_for_every_format(tmp_path):
    import gzip

    path = tmp_path / "a.gpx.gz"
    packed = gzip.compress(_SAMPLES["gpx"][1])
    path.write_bytes(packed)
    assert len(read(path)) == 2
    for broken in (packed[:-20], packed[:12] + b"\xff" * 20 + packed[32:], b"\x1f\x8b\xff\xff", packed[:60]):
        path.write_bytes(broken)
        with pytest.raises(RecordingError):
            read(path)


def test_nesting_and_numbers_that_break_parsers(tmp_path):
    path = tmp_path / "a.json"
    for content in (
        b'{"format": "trajectory-3d", "version": 1, "tracks": ' + b"[" * 100_000,
        b'{"format": "trajectory-3d", "version": ' + b"9" * 10_000 + b"}",
        b'{"type": "FeatureCollection", "features": ' + b'{"a":' * 100_000,
        b'{"type": "LineString", "coordinates": [[1e999, 2], [NaN, 1]]}',
        b"1e999999999 1 2 3 0 0 0 1\n",
        b"9" * 100_000 + b" 1 2 3 0 0 0 1\n",
    ):
        path.write_bytes(content)
        with pytest.raises(RecordingError):
            read(path, ReadOptions(rate=1.0))
