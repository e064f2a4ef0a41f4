"""What the terminal says of forecasts of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from examples.trajectory_3d.recordings.backtesting import BackTestScore, BackTestWindows
from examples.trajectory_3d.recordings.forecasting import TrackForecast, Unforecast
from examples.trajectory_3d.recordings.geodesy import to_geodetic
from examples.trajectory_3d.recordings.trajectory import Trajectory

_MOST_ROWS = 12
_INTERVAL = (0.1, 0.9)


def findings_text(tracks: Sequence[TrackForecast | Unforecast]) -> list[str]:
    """What was odd in the recordings, one line for each kind in a file."""
    groups: dict[tuple[str, str], list[tuple[Trajectory, str]]] = {}
    for each in tracks:
        for finding in each.findings:
            told = f"{finding.text}; {finding.action}" if finding.action else finding.text
            groups.setdefault((each.trajectory.source, finding.kind), []).append((each.trajectory, told))
    lines = []
    for (source, _), found in groups.items():
        track, text = found[0]
        where = f"{source}: {track.track}" if track.track else source
        more = f" (and the like in {len(found) - 1} more tracks)" if len(found) > 1 else ""
        lines.append(f"{where}: {text}{more}")
    return lines


def forecast_summary(forecasts: Sequence[TrackForecast], model: str) -> Table:
    """A row for each track: from what it was made, where it ends, how sure that is, who said so."""
    files = {Path(each.trajectory.source).name for each in forecasts}
    alone = len(files) == 1
    title = f"{files.pop()}: forecasts by {model}" if alone else f"Forecasts by {model}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("track", overflow="fold")
    for name in ("from", "step (s)", "ahead (s)", "ends at", "80 % width", "expert"):
        table.add_column(name, justify="right", overflow="fold")
    for each in forecasts[:_MOST_ROWS]:
        table.add_row(*_summary_row(each, alone=alone))
    if len(forecasts) > _MOST_ROWS:
        table.add_row(f"and {len(forecasts) - _MOST_ROWS} more tracks", *[""] * 6)
    return table


def _summary_row(forecast: TrackForecast, *, alone: bool) -> list[str]:
    step = forecast.context.step
    quantiles, experts = forecast.quantiles(), forecast.forecast.expert_ids
    width = "not stated"
    unit = "" if forecast.trajectory.unit == "unknown" else f" {forecast.trajectory.unit}"
    if all(level in quantiles for level in _INTERVAL):
        low, high = (quantiles[level][-1] for level in _INTERVAL)
        width = f"{np.linalg.norm(high - low):.3g}{unit}"
    known = forecast.trajectory
    if known.origin is None:
        end = ", ".join(f"{value:.6g}" for value in forecast.centre()[-1]) + unit
    else:
        latitude, longitude, altitude = to_geodetic(forecast.centre()[-1:], known.origin)[0]
        end = f"{latitude:.6f}, {longitude:.6f}, {altitude:.1f} m"
    file, track = Path(known.source).name, known.track
    label = (track or file) if alone else f"{file}: {track}" if track else file
    return [
        label,
        f"{len(forecast.context)} points",
        f"{step:.4g}",
        f"{step * forecast.horizon:.4g}",
        end,
        width,
        "none" if experts is None else str(int(experts[0, -1])),
    ]


def back_test_table(
    title: str, scores: Sequence[BackTestScore], windows: BackTestWindows, unit: str, model: str
) -> Table:
    """A row for each forecaster, the best by gn first; the model's is marked."""
    ahead = windows.step * (windows.windows.shape[1] - windows.context)
    title = f"{title} ({ahead:.4g} s), forecast from {windows.context} points"
    if windows.resting:
        title += f"; {windows.resting} more in which nothing moves are left out"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    measure = "file's unit" if unit == "unknown" else unit
    table.add_column("forecaster")
    for name in ("gn", f"position error ({measure})", f"endpoint error ({measure})", "80 % interval holds"):
        table.add_column(name, justify="right")
    for each in sorted(scores, key=lambda score: score.gn):
        coverage = "not stated" if each.coverage is None else f"{each.coverage:.0%}"
        cells = [f"{each.gn:.3g}", f"{each.position_error:.4g}", f"{each.endpoint_error:.4g}", coverage]
        table.add_row(each.forecaster, *cells, style="bold" if each.forecaster == model else None)
    return table
