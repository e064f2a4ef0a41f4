"""``python -m benchmarks.real_recordings``: the table of recordings and forecasters."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.real_recordings.catalogue import MOST_WINDOWS, SKIPPED, Recording, present
from benchmarks.real_recordings.scores import RecordingScores, overall, overall_median, score
from benchmarks.report import processor
from examples.trajectory_3d.baselines import make_baselines
from examples.trajectory_3d.forecasters import Forecaster
from examples.trajectory_3d.model_forecaster import ModelForecaster
from m import load
from m.checkpoint import CheckpointError, write_text_atomic

DATA = Path("../shared/data/real")
COMBINED = ("best classical", "classical combination")  # made of all single ones


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.real_recordings",
        description="Forecast recordings that no model was trained on, beside classical forecasters. "
        "Printed is gn: position error averaged over the horizon / standard deviation of the context, "
        "geometric mean over the windows of a recording.",
        allow_abbrev=False,
    )
    made.add_argument("--data", type=Path, default=DATA, help=f"folder of the recordings (default: {DATA})")
    made.add_argument(
        "--model", nargs="+", default=[], metavar="NAME_OR_PATH", help="models, as `m.load` takes them"
    )
    made.add_argument(
        "--baselines", default="all", help="classical forecasters: all, none, or names with commas between"
    )
    made.add_argument(
        "--windows",
        type=int,
        default=MOST_WINDOWS,
        help=f"windows of one recording at most (default: {MOST_WINDOWS})",
    )
    made.add_argument("--output", type=Path, help="write everything measured there, as JSON")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; 2 when there is nothing to measure or the request is wrong."""
    arguments = parser().parse_args(argv)
    try:
        forecasters = make_forecasters(arguments.model, arguments.baselines)
        results, silent = measure(recordings_folder(arguments.data), forecasters, arguments.windows)
    except (CheckpointError, FileNotFoundError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    console = Console(width=None if sys.stdout.isatty() else 230)
    console.print(render(results))
    for line in summary(results, silent, {each.name for each in forecasters[: len(arguments.model)]}):
        console.print(line, highlight=False, soft_wrap=True)
    if arguments.output:
        content = to_json(results, silent, arguments)
        write_text_atomic(arguments.output, json.dumps(content, indent=1, allow_nan=False) + "\n")
        console.print(f"Written to {arguments.output}", highlight=False, soft_wrap=True)
    return 0


def recordings_folder(data: Path) -> Path:
    """The folder below which the catalogue's files lie: ``data`` itself, or ``free`` in it.

    Raises:
        FileNotFoundError: none of the files is there.
    """
    for folder in (data, data / "free"):
        if present(folder):
            return folder
    raise FileNotFoundError(
        f"{data}: holds none of the recordings of benchmarks/real_recordings/catalogue.py"
    )


def make_forecasters(models: Sequence[str], baselines: str) -> list[Forecaster]:
    """The models, under the names or paths they were asked by, then the classical forecasters.

    Raises:
        CheckpointError: no such model.
        ValueError: no such baseline, or nothing to measure.
    """
    made: list[Forecaster] = [ModelForecaster(load(name), _label(name)) for name in models]
    made += make_baselines(baselines.split(","))
    names = [each.name for each in made]
    if not names or len(set(names)) != len(names):
        raise ValueError(f"forecasters must be one or more, with different names, got {names}")
    return made


def _label(name_or_path: str) -> str:
    path = Path(name_or_path)
    return path.parent.name if path.suffix in (".pt", ".safetensors") else path.name


def measure(
    data: Path, forecasters: Sequence[Forecaster], most: int = MOST_WINDOWS
) -> tuple[list[RecordingScores], list[Recording]]:
    """Score every forecaster on every recording that is there.

    Returns:
        Scores of the recordings, and the recordings that gave no window.

    Raises:
        ValueError: ``most`` below 1, no recording gave a window, a file that is not of its format, or a
            forecast that is not finite.
    """
    if most < 1:
        raise ValueError(f"--windows must be at least 1, got {most}")
    results, silent = [], []
    for recording in present(data):
        windows = recording.windows(data, most)
        if not len(windows):
            silent.append(recording)
            continue
        scores = tuple(score(each, windows, recording.context) for each in forecasters)
        results.append(
            RecordingScores(
                recording=recording.name,
                moves=recording.moves,
                windows=len(windows),
                context=recording.context,
                horizon=recording.horizon,
                scores=scores,
            )
        )
    if not results:
        raise ValueError(f"{data}: no recording gave a window")
    return results, silent


def render(results: Sequence[RecordingScores]) -> Table:
    """A row for each recording with every forecaster's gn, the smallest marked, and the leader's name."""
    table = Table(title="gn by recording (* smallest)", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("recording", no_wrap=True)
    table.add_column("windows", justify="right")
    for each in results[0].scores:
        table.add_column(each.forecaster, justify="right", overflow="fold")
    table.add_column("leads", overflow="fold")
    for result in results:
        leader = result.leader
        cells = [f"{each.gn:.3g}{' *' if each is leader else ''}" for each in result.scores]
        table.add_row(result.recording, str(result.windows), *cells, leader.forecaster)
    for title, figures in (
        ("all (geometric mean)", overall(results)),
        ("all (median)", overall_median(results)),
    ):
        best = min(figures, key=lambda name: figures[name])
        cells = [f"{value:.3g}{' *' if name == best else ''}" for name, value in figures.items()]
        table.add_row(title, "", *cells, best, style="bold")
    return table


def summary(results: Sequence[RecordingScores], silent: Sequence[Recording], models: set[str]) -> list[str]:
    """Who leads how often, how models stand against the best classical forecaster, what is left out."""
    leads = Counter(result.leader.forecaster for result in results)
    lines = ["Leads: " + ", ".join(f"{name} {count}" for name, count in leads.most_common())]
    means = overall(results)
    rivals = {name: value for name, value in means.items() if name not in models}
    single = {name: value for name, value in rivals.items() if name not in COMBINED}
    for kind, group in (("single classical", single), ("classical", rivals)):
        rival = min(group, key=lambda name: group[name], default=None)
        if rival is not None:
            lines += [_duel(results, name, rival, kind) for name in means if name in models]
    lines += [f"No window: {each.name} (too short, full of gaps or at rest)" for each in silent]
    lines += [f"Not read: {file} ({reason})" for file, reason in SKIPPED.items()]
    return lines


def _duel(results: Sequence[RecordingScores], name: str, rival: str, kind: str) -> str:
    pairs = [{each.forecaster: each for each in result.scores} for result in results]
    ahead = sum(pair[name].gn < pair[rival].gn for pair in pairs)
    inside = [pair[name].coverage for pair in pairs]
    known = [value for value in inside if value is not None]
    coverage = f"; its 80 % intervals hold {np.mean(known):.0%} on average" if known else ""
    return (
        f"{name} is ahead of {rival}, the best {kind} forecaster over all, "
        f"on {ahead} of {len(pairs)}{coverage}"
    )


def to_json(
    results: Sequence[RecordingScores], silent: Sequence[Recording], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Everything measured, and with what."""
    return {
        "benchmark": "real_recordings",
        "models": arguments.model,
        "baselines": arguments.baselines,
        "recordings": [{**asdict(result), "leader": result.leader.forecaster} for result in results],
        "overall_gn": overall(results),
        "overall_gn_median": overall_median(results),
        "without_windows": [recording.name for recording in silent],
        "not_read": SKIPPED,
        "machine": {"processor": processor()},
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }


if __name__ == "__main__":
    sys.exit(main())
