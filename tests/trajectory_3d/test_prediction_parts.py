"""Results of single files: equal when read again, taken up when they count, and no door for code."""

import io
import pickle
import sys

import numpy as np
import pytest

from examples.trajectory_3d.cli.predict import main
from examples.trajectory_3d.recordings import prediction_run
from examples.trajectory_3d.recordings.prediction import predict_file
from examples.trajectory_3d.recordings.prediction_files import files_to_predict
from examples.trajectory_3d.recordings.prediction_parts import PartError, from_bytes, to_bytes
from m.config import ConfigError


def write_helix(path, count=120, radius=1.0):
    angle = 0.05 * np.arange(count)
    points = np.stack([radius * np.cos(angle), np.sin(angle), 0.1 * angle], axis=1)
    rows = [f"{1e9 + 0.02 * n:.6f} {x:.9f} {y:.9f} {z:.9f} 0 0 0 1" for n, (x, y, z) in enumerate(points)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def recordings(tmp_path):
    return [write_helix(tmp_path / "in" / f"helix{n}.txt", radius=1.0 + n) for n in range(3)]


@pytest.fixture
def worked_on(monkeypatch):
    """Names of the files that were read and forecast, not taken up."""
    names = []

    def noting(path, job):
        names.append(path.rpartition("/")[2])
        return predict_file(path, job)

    monkeypatch.setattr(prediction_run, "predict_file", noting)
    return names


def predict(files, tmp_path, *more, out="forecast.csv"):
    arguments = ["--model", "trajectory-3d", "--horizon", "8", "--out", str(tmp_path / out)]
    return main([*map(str, files), *arguments, "--parts", str(tmp_path / "parts"), *more])


@pytest.mark.parametrize("more", [["--samples", "2"], ["--backtest", "--windows", "3"]])
def test_what_is_taken_up_is_what_was_made(recordings, worked_on, tmp_path, capsys, more):
    assert predict(recordings, tmp_path, *more) == 0
    first = capsys.readouterr()
    table = (tmp_path / "forecast.csv").read_text() if "--samples" in more else ""
    assert predict(recordings, tmp_path, *more) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err == first.err + f"taken up from {tmp_path / 'parts'}: 3 of 3 files\n"
    assert (table == "") or (tmp_path / "forecast.csv").read_text() == table
    assert worked_on == ["helix0.txt", "helix1.txt", "helix2.txt"]


def test_what_changed_is_done_again(recordings, worked_on, tmp_path):
    predict(recordings, tmp_path)
    worked_on.clear()
    write_helix(recordings[1], radius=9.0)
    predict(recordings, tmp_path)
    assert worked_on == ["helix1.txt"]
    worked_on.clear()
    for other in (
        ["--horizon", "9"],
        ["--model", "trajectory-3d-wide"],
        ["--unit", "km"],
        ["--context", "32"],
    ):
        predict(recordings[:1], tmp_path, *other)
    assert worked_on == ["helix0.txt"] * 4


def test_half_a_result_is_none(recordings, worked_on, tmp_path):
    predict(recordings, tmp_path)
    worked_on.clear()
    kept = sorted((tmp_path / "parts").glob("helix0.txt-*.npz"))
    kept[0].write_bytes(kept[0].read_bytes()[:200])
    assert predict(recordings, tmp_path) == 0
    assert worked_on == ["helix0.txt"]


def test_a_file_that_failed_is_tried_again_alone(recordings, worked_on, tmp_path, capsys):
    recordings[2].write_text("1.0 0 0 x 0 0 0 1\n")
    assert predict(recordings, tmp_path, "--format", "tum") == 1
    assert "helix2.txt:1" in capsys.readouterr().err
    worked_on.clear()
    write_helix(recordings[2])
    assert predict(recordings, tmp_path, "--format", "tum") == 0
    assert worked_on == ["helix2.txt"]


def test_a_part_holds_no_code():
    made = io.BytesIO()
    np.savez(made, json=np.array([object()], dtype=object), allow_pickle=True)
    for content in (made.getvalue(), pickle.dumps("x"), b"", b"PK\x03\x04"):
        with pytest.raises(PartError):
            from_bytes(content)


def test_a_kind_that_is_none_of_ours_is_refused():
    for text in ('{"kind": "Path", "fields": {}}', '{"kind": "Finding", "fields": {"x": 1}}', "[1", '"a"'):
        made = io.BytesIO()
        np.savez(made, json=np.array(text))
        with pytest.raises(PartError):
            from_bytes(made.getvalue())


def test_only_what_has_a_place_is_kept():
    with pytest.raises(TypeError, match="set has no place"):
        to_bytes({1})


def test_a_folder_means_the_recordings_in_it(recordings, tmp_path):
    folder = tmp_path / "in"
    (folder / "README.md").write_text("# not a recording\n")
    (folder / "deeper").mkdir()
    inner = write_helix(folder / "deeper" / "last.txt")
    out = folder / "forecast.csv"
    out.write_text("x,y,z\n1,2,3\n")
    found = files_to_predict([folder, recordings[0]], predict_options(), not_these=(out, None))
    assert found == [str(each) for each in (inner, *recordings)]


def predict_options():
    from examples.trajectory_3d.recordings.options import ReadOptions

    return ReadOptions()


def test_an_empty_folder_is_refused(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no recording of a known format"):
        files_to_predict([tmp_path / "empty"], predict_options())
    assert main([str(tmp_path / "empty")]) == 2
    assert "empty: no recording" in capsys.readouterr().err


def test_without_ray_the_extra_is_named(recordings, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([str(recordings[0]), "--ray"]) == 2
    assert "pip install 'm-trajectory[ray]'" in capsys.readouterr().err


def test_a_recording_is_no_address(recordings, capsys):
    with pytest.raises(SystemExit):
        main(["--ray", str(recordings[0])])
    assert "name recordings before --ray" in capsys.readouterr().err
