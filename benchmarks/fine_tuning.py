"""Fine-tuning on recordings: best classical forecaster, shipped weights as they are, and fine-tuned.

    python -m benchmarks.fine_tuning --data FOLDER --output outputs/fine_tuning

Every recording of `benchmarks.real_recordings.catalogue` whose pieces hold windows of 80 points is cut into a
training, a validation and a test part that share no point, one model is fine-tuned on all training parts with
`finetune_recordings.yaml`, and all forecasters are judged on the test parts. Recordings are not part of the
project.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.real_recordings.__main__ import COMBINED, DATA, recordings_folder
from benchmarks.real_recordings.catalogue import CONTEXT, HORIZON, Recording, present
from benchmarks.real_recordings.windows import moving_parts
from benchmarks.report import processor
from examples.trajectory_3d.arrays import Float64Array
from examples.trajectory_3d.baselines import make_baselines
from examples.trajectory_3d.cli.train import main as train_command
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.evaluation import MIXED, EvaluationResult, evaluate
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.recordings.trajectory import Trajectory
from examples.trajectory_3d.recordings.writers import write
from examples.trajectory_3d.scores import GroupScores
from examples.trajectory_3d.windows import evaluation_windows
from m import load
from m.checkpoint import write_text_atomic
from m.config import load_config

LENGTH = CONTEXT + HORIZON
MANY = 8  # pieces: so many are shared out whole, fewer are cut in time
SHARES = (0.55, 0.7)  # of a piece that is cut: end of training, end of validation
CONFIG = Path("examples/trajectory_3d/configs/finetune_recordings.yaml")
ZERO_SHOT, TUNED = "shipped", "fine-tuned"
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Row:
    """A recording: who is best of the single classical forecasters, and the two models."""

    recording: str
    moves: str
    windows: int
    classical: str
    classical_gn: float
    classical_error: float
    shipped_gn: float
    shipped_error: float
    shipped_coverage: float
    tuned_gn: float
    tuned_error: float
    tuned_coverage: float


def prepare(data: Path, folder: Path) -> dict[str, Recording]:
    """Write the parts of every recording as Parquet, ``train/NAME.parquet`` and so on, in metres.

    Returns:
        The recordings that have windows to train on and to test on, by name.
    """
    used = {}
    for recording in present(data):
        pieces = moving_parts(recording.pieces(data), LENGTH, CONTEXT, recording.rest)
        parts = share_out(pieces)
        if not parts["train"] or not parts["test"]:
            continue
        used[recording.name] = recording
        for part, held in parts.items():
            if held:
                write(
                    folder / part / f"{recording.name}.parquet",
                    [_track(f"{recording.name}/{n}", each) for n, each in enumerate(held)],
                )
    return used


def share_out(pieces: Sequence[Float64Array]) -> dict[str, list[Float64Array]]:
    """Pieces by part: many are shared out whole, three of five for training; few are cut in time.

    A horizon is left out at each cut. What is too short for a window is left out too.
    """
    long = [piece for piece in pieces if len(piece) >= LENGTH]
    parts: dict[str, list[Float64Array]] = {part: [] for part in PARTS}
    if len(long) >= MANY:
        for number, piece in enumerate(long):
            parts[("train", "test", "train", "validation", "train")[number % 5]].append(piece)
        return parts
    for piece in long:
        first, second = (int(share * len(piece)) for share in SHARES)
        cut = (piece[:first], piece[first + HORIZON : second], piece[second + HORIZON :])
        for part, held in zip(PARTS, cut, strict=True):
            if len(held) >= LENGTH:
                parts[part].append(held)
    return parts


def _track(name: str, points: Float64Array) -> Trajectory:
    """A piece under a name that says its recording, as ``trajectory-3d-data split`` names tracks."""
    times = np.arange(len(points), dtype=np.float64)  # a second a step: nothing here is a speed
    return Trajectory(times, points, unit="m", track=name)


def fine_tune(folder: Path, output: Path, overrides: Sequence[str]) -> Path:
    """Fine-tune the shipped wide model on the training parts; its run's folder."""
    run = output / TUNED
    if not (run / "final_model.pt").is_file():
        settings = [f"dataset.paths=[{folder}]", "dataset.split.by=folder", "evaluation.after_training=false"]
        code = train_command(
            [str(CONFIG), "--name", TUNED, "--output-root", str(output), *settings, *overrides]
        )
        if code:
            raise RuntimeError(f"fine-tuning ended with {code}")
    return run


def judge(run: Path, windows: int) -> EvaluationResult:
    """All forecasters on the test parts."""
    experiment = load_config(ExperimentConfig, run / "config.yaml")
    judged = evaluation_windows(experiment.dataset, "test", windows)
    models = [
        ModelForecaster(load("trajectory-3d-wide"), ZERO_SHOT),
        ModelForecaster(load(run / "best_model.pt"), TUNED),
    ]
    return evaluate([*models, *make_baselines(["all"])], judged, keep_going=True)


def rows(result: EvaluationResult, recordings: dict[str, Recording]) -> list[Row]:
    """A row for each recording."""
    made = []
    for group in result.group_names:
        if group == MIXED:
            continue
        scores = {each.name: each.groups[group] for each in result.forecasters}
        single = {name: score for name, score in scores.items() if name not in (ZERO_SHOT, TUNED, *COMBINED)}
        best = min(single, key=lambda name: single[name].skill.gn)
        shipped, tuned = scores[ZERO_SHOT], scores[TUNED]
        made.append(
            Row(
                recording=group,
                moves=recordings[group].moves if group in recordings else "",
                windows=shipped.count,
                classical=best,
                classical_gn=single[best].skill.gn,
                classical_error=single[best].metrics["position_error"],
                shipped_gn=shipped.skill.gn,
                shipped_error=shipped.metrics["position_error"],
                shipped_coverage=_coverage(shipped),
                tuned_gn=tuned.skill.gn,
                tuned_error=tuned.metrics["position_error"],
                tuned_coverage=_coverage(tuned),
            )
        )
    return made


def _coverage(scores: GroupScores) -> float:
    return float("nan") if scores.uncertainty is None else scores.uncertainty.coverage


def render(found: Sequence[Row]) -> Table:
    """The table, the smallest error of a row marked."""
    table = Table(
        title="Position error in metres (* smallest), and gn", title_justify="left", box=box.SIMPLE_HEAD
    )
    for name in ("recording", "windows", "best single classical", "error", "gn"):
        table.add_column(name, justify="left" if name in ("recording", "best single classical") else "right")
    for name in (ZERO_SHOT, TUNED):
        for what in ("error", "gn", "80 % holds"):
            table.add_column(f"{name} {what}", justify="right")
    for row in found:
        errors = (row.classical_error, row.shipped_error, row.tuned_error)
        marks = ["*" if each == min(errors) else "" for each in errors]
        table.add_row(
            row.recording,
            str(row.windows),
            row.classical,
            f"{row.classical_error:.3g}{marks[0]}",
            f"{row.classical_gn:.3g}",
            f"{row.shipped_error:.3g}{marks[1]}",
            f"{row.shipped_gn:.3g}",
            f"{row.shipped_coverage:.0%}",
            f"{row.tuned_error:.3g}{marks[2]}",
            f"{row.tuned_gn:.3g}",
            f"{row.tuned_coverage:.0%}",
        )
    return table


def duels(result: EvaluationResult) -> str:
    """How the models stand against the one classical forecaster that is best over all recordings."""
    groups = [group for group in result.group_names if group != MIXED]
    gn = {
        each.name: np.array([each.groups[group].skill.gn for group in groups]) for each in result.forecasters
    }
    single = [name for name in gn if name not in (ZERO_SHOT, TUNED, *COMBINED)]
    rival = min(single, key=lambda name: float(np.log(gn[name]).mean()))
    shipped, tuned = (int((gn[name] < gn[rival]).sum()) for name in (ZERO_SHOT, TUNED))
    return (
        f"ahead of {rival}, the best single classical forecaster over all, by gn: shipped on {shipped} of "
        f"{len(groups)}, fine-tuned on {tuned}"
    )


def summary(found: Sequence[Row]) -> list[str]:
    """How often who is ahead of the best single classical forecaster chosen for each recording afterwards."""

    def ahead(name: str) -> str:
        kind = "shipped" if name == ZERO_SHOT else "tuned"
        by_gn = sum(getattr(row, f"{kind}_gn") < row.classical_gn for row in found)
        by_error = sum(getattr(row, f"{kind}_error") < row.classical_error for row in found)
        return (
            f"{name}: ahead of each recording's own best single classical forecaster on {by_gn} of "
            f"{len(found)} by gn, {by_error} by metres"
        )

    better = sum(row.tuned_gn < row.shipped_gn for row in found)
    ratio = np.exp(np.mean([np.log(row.tuned_gn / row.shipped_gn) for row in found]))
    return [
        ahead(ZERO_SHOT),
        ahead(TUNED),
        f"fine-tuned ahead of shipped on {better} of {len(found)} by gn, {ratio:.2f} times its gn on average",
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fine_tuning", allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder of the recordings (default: {DATA})")
    parser.add_argument("--output", type=Path, default=Path("outputs/fine_tuning"))
    parser.add_argument("--windows", type=int, default=2000, help="test windows in all (default: 2000)")
    parser.add_argument("overrides", nargs="*", help="settings of the fine-tuning, key=value")
    arguments = parser.parse_args(argv)
    parts = (arguments.output / "parts").resolve()
    recordings = prepare(recordings_folder(arguments.data), parts)
    run = fine_tune(parts, arguments.output, arguments.overrides)
    result = judge(run, arguments.windows)
    found = rows(result, recordings)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(render(found))
    for line in [*summary(found), duels(result)]:
        console.print(line, highlight=False, soft_wrap=True)
    content = {
        "benchmark": "fine_tuning",
        "rows": [asdict(row) for row in found],
        "overrides": arguments.overrides,
        "machine": {"processor": processor()},
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    write_text_atomic(arguments.output / "results.json", json.dumps(content, indent=1) + "\n")
    print(json.dumps({key: value for key, value in content.items() if key != "rows"}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
