"""Recordings as windows: cutting of hand-made pieces, known scores, and the recordings themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.real_recordings.__main__ import main, measure, recordings_folder
from benchmarks.real_recordings.catalogue import RECORDINGS, SKIPPED, Recording, present
from benchmarks.real_recordings.scores import score
from benchmarks.real_recordings.windows import cut_windows, moving_parts
from examples.trajectory_3d.baselines import LastValue, constant_velocity

DATA = Path(__file__).parents[2] / "../shared/data/real/free"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")


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


def test_parts_that_move_hold_every_moving_window_and_no_other():
    rng = np.random.default_rng(0)
    still, busy = np.zeros((40, 3)), rng.normal(size=(30, 3)).cumsum(0) + 5
    piece = np.concatenate([still, busy, np.repeat(busy[-1:], 50, axis=0), busy[::-1], still])
    parts = moving_parts([piece], 20, 16, 0.3)
    whole = cut_windows([piece], 20, 16, 0.3, 10**6)
    again = cut_windows(parts, 20, 16, 0.3, 10**6)
    np.testing.assert_array_equal(again, whole)
    assert sum(map(len, parts)) < len(piece)
    assert moving_parts([still], 20, 16, 0.3) == []


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
    return tuple(Recording(f"slam/{name}.txt", name, 0.01) for name in ("circle", "still", "gone"))


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


# Of the pieces, in metres at the step of the windows; noted beside the files by another reader.
@needs_data
@pytest.mark.parametrize(
    ("name", "extent"),
    [
        ("rpng_table_01", (3.55, 3.78, 0.469)),
        ("qdr_vertical_01_GT", (19.5, 68.2, 22.0)),
        ("igs19362_gps", (4.52e7, 4.49e7, 4.37e7)),
        ("artemis1_orion_asflown_part1", (7.1e8, 3.44e8, 1.91e8)),
        ("napret", (7510, 5260, 884)),
        ("kuka_3D-pick-box", (0.229, 0.234, 0.326)),
    ],
)
def test_a_recording_reads_as_its_source_says(name, extent):
    recording = next(each for each in RECORDINGS if each.name == name)
    piece = max(recording.pieces(DATA), key=len)
    np.testing.assert_allclose(np.ptp(piece, axis=0), extent, rtol=1e-2)


@needs_data
def test_most_recordings_give_windows_that_move():
    results, silent = measure(DATA, [LastValue(), constant_velocity()], most=20)
    assert len(results) == len(RECORDINGS)
    assert silent == []
    for result in results:
        still, straight = (each.gn for each in result.scores)
        # The horizon is a fifth of a window, so that what moves leaves the context, and not by far.
        assert 0.1 < still < 5, result.recording
        assert straight < 3 * still, result.recording
