"""``trajectory-3d-data`` as people call it."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from examples.trajectory_3d.cli import data
from examples.trajectory_3d.cli.read_options import add_read_options, read_options
from examples.trajectory_3d.recordings import inspecting
from examples.trajectory_3d.recordings.inspecting import inspect
from examples.trajectory_3d.recordings.options import ReadOptions
from examples.trajectory_3d.recordings.registry import read
from examples.trajectory_3d.recordings.trajectory import Trajectory
from tests.trajectory_3d.recordings_format import install, save_tracks


@pytest.fixture(autouse=True)
def _format(monkeypatch):
    install(monkeypatch)


def spiral(count=300, seed=0, dimensions=3):
    times = np.arange(count) * 0.1
    points = np.stack([np.cos(times), np.sin(times), 0.1 * times], axis=1)[:, :dimensions]
    points += 1e-3 * np.random.default_rng(seed).standard_normal(points.shape)
    return Trajectory(times, points, names=("x", "y", "z")[:dimensions], unit="m")


def gappy():
    track = spiral()
    track.points[100:104] = np.nan
    return track.take(np.concatenate([np.arange(200), np.arange(240, 300)]))


def test_inspect_tells_what_is_there_and_what_is_odd(tmp_path, capsys):
    file = save_tracks(tmp_path / "walk.tt", {"a": spiral(), "b": gappy()})
    assert data.main(["inspect", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "walk.tt: tracks for tests; 2 tracks; in m" in shown
    assert "260 (4 unusable)" in shown
    assert "10 Hz" in shown
    assert "b: 4 samples without position in 1 stretch" in shown
    assert "gaps longer than 0.3 s, the longest of 4.1 s" in shown


def test_inspect_as_json_has_every_number(tmp_path, capsys):
    file = save_tracks(tmp_path / "walk.tt", {"a": spiral(), "b": gappy(), "c": spiral(1)})
    assert data.main(["inspect", str(file), "--json", "--unit", "km"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["files"]
    first, second, single = found["tracks"]
    assert (first["samples"], first["unit"], first["gaps"]) == (300, "km", 0)
    assert {each["kind"] for each in second["findings"]} == {"lost", "gap"}
    assert first["noise"] == pytest.approx([1e-3] * 3, rel=0.2)
    assert single["step"] is None


def test_many_tracks_are_shown_together_unless_all_are_asked_for(tmp_path, capsys):
    file = save_tracks(tmp_path / "many.tt", {f"t{n}": spiral(20 + n) for n in range(30)})
    assert data.main(["inspect", str(file)]) == 0
    few = capsys.readouterr().out
    assert "all 30" in few
    assert "4 of 30 tracks shown" in few
    assert data.main(["inspect", str(file), "--all"]) == 0
    assert capsys.readouterr().out.count("10 Hz") == 30


def test_a_folder_is_read_as_far_as_it_can_be(tmp_path, capsys):
    save_tracks(tmp_path / "good.tt", {"a": spiral()})
    (tmp_path / "notes.bin").write_bytes(bytes(range(256)))
    (tmp_path / ".hidden").write_text("?")
    assert data.main(["inspect", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert "good.tt" in shown.out
    assert "skipped" in shown.err
    assert "notes.bin" in shown.err
    assert ".hidden" not in shown.err
    (tmp_path / "bad.tt").write_bytes(b"TESTTRACKS\nnonsense")
    assert data.main(["inspect", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "good.tt" in shown.out
    assert "bad.tt:1: damaged" in shown.err


def test_wrong_requests(tmp_path, capsys):
    file = str(save_tracks(tmp_path / "a.tt", {"a": spiral()}))
    for arguments in (
        ["inspect", str(tmp_path / "none")],
        ["inspect", file, "--unit", "cubit"],
        ["inspect", file, "--picture", "x.txt"],
        ["inspect", file, "--position", "x,,z"],
        ["convert", file],
        ["convert", file, "--to", "csv", "--resample", "-3"],
        ["convert", file, "--to", "csv", "--smooth", "1"],
        ["convert", file, "--to", "csv", "--resample", "3", "--mend", "none"],
        ["split", file, "--out", str(tmp_path / "s"), "--fractions", "1,2"],
        ["split", file, "--out", str(tmp_path / "s"), "--fractions", "0.5,0.2,0.2"],
    ):
        assert data.main(arguments) == 2, arguments
        assert capsys.readouterr().err.startswith("error: ")
    assert data.main(["inspect", file, "--format", "testtrack"]) == 1
    assert "testtracks" in capsys.readouterr().err


@pytest.mark.parametrize("dimensions", [1, 3])
def test_the_picture_is_drawn_for_any_dimensions(tmp_path, dimensions):
    tracks = {"a": spiral(dimensions=dimensions), "b": spiral(40, dimensions=dimensions)}
    file = save_tracks(tmp_path / "a.tt", tracks)
    picture = tmp_path / "pictures/a.png"
    assert data.main(["inspect", str(file), "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_tracks_without_positions_are_told_and_not_drawn(tmp_path, capsys):
    lost = spiral(20)
    lost.points[:] = np.nan
    file = save_tracks(tmp_path / "a.tt", {"lost": lost, "b": spiral(dimensions=2)})
    assert data.main(["inspect", str(file), "--picture", str(tmp_path / "a.png")]) == 0
    assert "lost: 20 samples without position" in capsys.readouterr().out
    assert (tmp_path / "a.png").exists()
    only = save_tracks(tmp_path / "b.tt", {"lost": lost})
    assert data.main(["inspect", str(only), "--picture", str(tmp_path / "b.png")]) == 0
    assert not (tmp_path / "b.png").exists()
    assert "20 (20 unusable)" in capsys.readouterr().out


def test_pictures_of_several_files_have_their_names(tmp_path):
    for name in ("a", "b"):
        save_tracks(tmp_path / f"{name}.tt", {"": gappy()} if name == "a" else {"x": spiral(1)})
    assert data.main(["inspect", str(tmp_path), "--picture", str(tmp_path / "out/p.svg")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p-a.svg", "p-b.svg"]


def test_large_files_are_inspected_in_pieces(tmp_path, monkeypatch):
    file = save_tracks(tmp_path / "a.tt", {"a": spiral(40_000), "b": gappy()})
    whole = inspect(file, ReadOptions(), views=True)
    monkeypatch.setattr(inspecting, "LARGE", 0)
    monkeypatch.setattr(inspecting, "CHUNK", 1000)
    pieces = inspect(file, ReadOptions(), views=True)
    assert (whole.streamed, pieces.streamed) == (False, True)
    for one, other in zip(whole.tracks, pieces.tracks, strict=True):
        assert (one.samples, one.low, one.high, one.gaps) == (
            other.samples,
            other.low,
            other.high,
            other.gaps,
        )
    assert [len(view.path) > 100 for view in pieces.views] == [True, True]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_what_was_converted_reads_as_the_same(tmp_path, suffix):
    tracks = {"a": spiral(), "b": spiral(50, seed=2)}
    file = save_tracks(tmp_path / "walk.tt", tracks)
    out = tmp_path / f"walk.{suffix}"
    assert data.main(["convert", str(file), "--out", str(out)]) == 0
    again = {track.track: track for track in read(out)}
    assert set(again) == {"a", "b"}
    for name, track in tracks.items():
        np.testing.assert_array_equal(again[name].times, np.round(track.times, 9))
        np.testing.assert_array_equal(again[name].points, track.points)
        assert again[name].unit == "m"
    assert data.main(["convert", str(file), "--out", str(out)]) == 2
    assert data.main(["convert", str(file), "--out", str(out), "--force", "--resample", "5"]) == 0
    assert [len(track) for track in read(out)] == [150, 25]


def test_parts_read_back_hold_each_point_once(tmp_path, capsys):
    save_tracks(tmp_path / "in.tt", {f"t{n}": spiral(60, seed=n) for n in range(10)})
    for by, embargo in (("track", 0), ("time", 0.3)):
        out = tmp_path / by
        line = ["split", str(tmp_path / "in.tt"), "--out", str(out), "--by", by, "--embargo", str(embargo)]
        assert data.main(line) == 0
        assert "train: " in capsys.readouterr().out
        plan = json.loads((out / "split.json").read_text())
        rows = [
            {
                (track.track, *row)
                for file in part["files"]
                for track in read(out / file)
                for row in track.points.tolist()
            }
            for part in plan["parts"].values()
        ]
        total = sum(part["samples"] for part in plan["parts"].values())
        assert sum(map(len, rows)) == len(set().union(*rows)) == total
        assert total + plan["dropped_by_embargo"] == 600


def test_every_option_of_reading_can_be_said():
    import argparse

    parser = argparse.ArgumentParser()
    add_read_options(parser)
    line = (
        "--format csv --time t --position a,b --extra u,v --track id --separator tab --no-header --rate 5 "
        "--unit km --time-unit ms --frame ned --geodetic"
    )
    assert read_options(parser.parse_args(line.split())) == ReadOptions(
        format="csv",
        time="t",
        position=("a", "b"),
        extra=("u", "v"),
        track="id",
        separator="\t",
        header=False,
        rate=5.0,
        unit="km",
        time_unit="ms",
        frame="ned",
        geodetic=True,
    )
    assert read_options(parser.parse_args([])) == ReadOptions()


def test_help_is_quick_and_has_examples():
    code = "import sys; from examples.trajectory_3d.cli.data import main; main(['convert', '--help'])"
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--resample HZ" in done.stdout
    assert "examples:" in done.stdout
    assert time.monotonic() - started < 5
    code = (
        "import sys, examples.trajectory_3d.cli.data as d; d.parser(); "
        "print(*[m for m in ('torch', 'scipy', 'matplotlib', 'pandas', 'rich') if m in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded.split() == []
