"""What becomes of tracks on their way into another file."""

from pathlib import Path

import numpy as np
import pytest

from examples.trajectory_3d.recordings.conversion_run import convert_files
from examples.trajectory_3d.recordings.converting import Conversion, convert_track, file_names
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.trajectory import Trajectory
from m.config import ConfigError
from tests.trajectory_3d.recordings_format import install, save_tracks


@pytest.fixture(autouse=True)
def _format(monkeypatch):
    install(monkeypatch)


def line(count=100, track=""):
    times = np.arange(count) * 0.1
    return Trajectory(times, times[:, None] * np.array([1.0, 2.0, 3.0]), unit="m", track=track)


def broken():
    track = line(track="a")
    track.points[50] = np.nan
    return track.take(np.concatenate([np.arange(60, 30, -1), np.arange(80, 100)]))


def test_nothing_changes_unless_asked():
    track = broken()
    assert convert_track(track, Conversion()) == [track]


def test_mending_and_resampling():
    (mended,) = convert_track(broken(), Conversion(mending="safe"))
    assert (np.diff(mended.times) > 0).all()
    assert len(mended) == 49
    pieces = convert_track(broken(), Conversion(mending="safe", resample=4.0))
    assert [piece.track for piece in pieces] == ["a.1", "a.2"]
    for piece in pieces:
        np.testing.assert_allclose(np.diff(piece.times), 0.25)
        seconds = piece.times + piece.start_ns / 1e9
        np.testing.assert_allclose(piece.points[:, 0], seconds + 3.1 - pieces[0].start_ns / 1e9, atol=4e-3)
    (bridged,) = convert_track(broken(), Conversion(mending="safe", resample="native", longest_gap=3.0))
    assert bridged.track == "a"
    np.testing.assert_allclose(np.diff(bridged.times), 0.1)


def test_outliers_and_jumps():
    track = line()
    track.points[40] += 30.0
    track.points[70:] += 5.0
    assert len(convert_track(track, Conversion(mending="safe"))[0]) == 100
    assert len(convert_track(track, Conversion(mending="outliers"))[0]) == 99
    pieces = convert_track(track, Conversion(mending="outliers", resample="native", split_jumps=True))
    assert [(piece.track, len(piece)) for piece in pieces] == [("1", 70), ("2", 30)]


@pytest.mark.parametrize(
    "options",
    [{"smooth": 1.0}, {"longest_gap": 1.0}, {"split_jumps": True}, {"resample": 3.0}],
)
def test_options_that_do_nothing_are_refused(options):
    with pytest.raises(ValueError, match="resampling"):
        Conversion(**options)


def test_names_of_files():
    paths = [Path(name) for name in ("a/walk.csv.gz", "b/walk.tum", "c/run.csv", ".dotted")]
    assert file_names(paths) == ["walk-1", "walk-2", "run", ".dotted"]


class Written(dict):
    def __call__(self, path, tracks, to):
        path.write_text("")
        self[path.name] = [(track.track, len(track)) for track in tracks]


def convert(paths, tmp_path, **options):
    written = Written()
    settings = {"to": None, "out": None, "force": False} | options
    unread = convert_files(
        paths, ReadOptions(), Conversion(), write=written, done=lambda *args: None, **settings
    )
    return written, unread


def test_where_converted_files_go(tmp_path):
    save_tracks(tmp_path / "one.tt", {"": line(10)})
    save_tracks(tmp_path / "two.tt", {"p": line(5), "q": line(6)})
    written, unread = convert([tmp_path], tmp_path, out=tmp_path / "all.csv")
    assert (written, unread) == ({"all.csv": [("one", 10), ("two/p", 5), ("two/q", 6)]}, [])
    (tmp_path / "all.csv").unlink()
    written, _ = convert([tmp_path / "two.tt"], tmp_path, out=tmp_path / "new/two.csv")
    assert written == {"two.csv": [("p", 5), ("q", 6)]}
    written, _ = convert([tmp_path], tmp_path, to="csv", out=tmp_path / "folder")
    assert sorted(written) == ["one.csv", "two.csv"]
    assert (tmp_path / "folder/one.csv").exists()
    written, _ = convert([tmp_path / "one.tt"], tmp_path, to="csv")
    assert (tmp_path / "one.csv").exists()


def test_what_is_not_written_over(tmp_path):
    file = save_tracks(tmp_path / "one.tt", {"": line(10)})
    (tmp_path / "one.csv").write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        convert([file], tmp_path, out=tmp_path / "one.csv")
    assert (tmp_path / "one.csv").read_text() == "mine"
    convert([file], tmp_path, out=tmp_path / "one.csv", force=True)
    assert (tmp_path / "one.csv").read_text() == ""
    with pytest.raises(ConfigError, match="the file that is read"):
        convert([file], tmp_path, to="csv", out=file, force=True)
    with pytest.raises(ConfigError, match="--to"):
        convert([file], tmp_path)


def test_a_bad_file_does_not_stop_the_others(tmp_path):
    save_tracks(tmp_path / "good.tt", {"": line(10)})
    (tmp_path / "bad.tt").write_bytes(b"TESTTRACKS\nnonsense")
    written, unread = convert([tmp_path], tmp_path, to="csv")
    assert list(written) == ["good.csv"]
    assert [(each.path.name, each.failed) for each in unread] == [("bad.tt", True)]
