"""Inspections of recordings as tables and sentences for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from examples.trajectory_3d.recordings.findings import Finding, counted, seconds_text
from examples.trajectory_3d.recordings.inspecting import Inspection
from examples.trajectory_3d.recordings.summary import TrackSummary

MOST_TRACKS = 8  # that are shown one by one
_SHOWN = 4  # of more than that
_COLUMNS = ("track", "samples", "duration", "rate", "extent", "gaps", "speed, median to most", "noise")
_EPOCHS = {"utc": datetime(1970, 1, 1, tzinfo=UTC), "gps": datetime(1980, 1, 6, tzinfo=UTC)}


def inspection_text(inspection: Inspection, *, everything: bool = False) -> RenderableType:
    """A file's tracks as a table, and what is odd in them in words beneath.

    Args:
        inspection: of the file.
        everything: show each track of many, not only a few and all of them together.
    """
    tracks = inspection.tracks
    few = everything or len(tracks) <= MOST_TRACKS
    shown = tracks if few else sorted(tracks, key=lambda each: -each.samples)[:_SHOWN]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, title in enumerate(_COLUMNS):
        table.add_column(title, overflow="fold", justify="left" if place in {0, 4} else "right")
    for summary in shown:
        table.add_row(*_row(summary))
    if not few:
        table.add_row(*_together(tracks), style="bold")
    parts: list[RenderableType] = [_head(inspection), table]
    lines = _each_finding(tracks) if few and len(tracks) <= MOST_TRACKS else _findings_by_kind(tracks)
    notes = dict.fromkeys(note for track in tracks for note in track.notes)
    parts += [Text(f"  ! {line}", style="yellow") for line in lines]
    parts += [Text(f"  i {note}") for note in notes]
    if not few:
        parts.append(Text(f"  {len(shown)} of {len(tracks)} tracks shown; --all shows each"))
    return Group(*parts)


def _head(inspection: Inspection) -> Text:
    first = inspection.tracks[0]
    unit = "unit not known" if first.unit == "unknown" else f"in {first.unit}"
    words = [
        inspection.title,
        counted(len(inspection.tracks), "track"),
        f"{unit}, frame {first.frame}",
        _start(first),
    ]
    if inspection.streamed:
        words.append("read in pieces")
    return Text.assemble((str(inspection.path), "bold"), f": {'; '.join(words)}")


def _start(summary: TrackSummary) -> str:
    if summary.clock == "index":
        return "no times in the file, samples at the rate given"
    if summary.clock == "elapsed":
        return f"from {summary.start_ns / 1e9:g} s of a clock of its own"
    try:
        moment = _EPOCHS[summary.clock] + timedelta(microseconds=summary.start_ns // 1000)
    except OverflowError:
        return f"from {summary.start_ns / 1e9:g} s, which is no date"
    return f"from {moment.strftime('%Y-%m-%d %H:%M:%S')} {summary.clock.upper()}"


def _row(summary: TrackSummary) -> tuple[str, ...]:
    unit = "" if summary.unit == "unknown" else f" {summary.unit}"
    gaps = str(summary.gaps) + (f" (to {seconds_text(summary.longest_gap)})" if summary.gaps else "")
    lost = summary.samples - summary.usable
    median, _, most = summary.speed
    return (
        summary.track or "-",
        str(summary.samples) + (f" ({lost} unusable)" if lost else ""),
        seconds_text(summary.duration),
        rate_text(summary),
        " x ".join(_number(each) for each in summary.extent) + unit if summary.usable else "-",
        gaps,
        "-" if math.isnan(median) else f"{_number(median)} to {_number(most)}{unit or ' units'}/s",
        "-" if math.isnan(summary.total_noise) else f"{_number(summary.total_noise)}{unit}",
    )


def rate_text(summary: TrackSummary) -> str:
    """``100 Hz``, or for rare samples the time between them, with the jitter of the steps."""
    if math.isnan(summary.step):
        return "-"
    jitter = f" ±{summary.jitter:.0%}" if summary.jitter >= 0.01 else ""
    return (f"{summary.rate:.4g} Hz" if summary.step <= 2 else f"1 per {seconds_text(summary.step)}") + jitter


def _together(tracks: Sequence[TrackSummary]) -> tuple[str, ...]:
    """All tracks in one row: sums of counts, ranges or medians of the rest."""
    first = tracks[0]
    unit = "" if len({track.unit for track in tracks}) > 1 or first.unit == "unknown" else f" {first.unit}"
    samples = [track.samples for track in tracks]
    steps = [track.step for track in tracks if not math.isnan(track.step)]
    noise = [track.total_noise for track in tracks if not math.isnan(track.total_noise)]
    speeds = [track.speed for track in tracks if not math.isnan(track.speed[0])]
    sides = min(len(track.low) for track in tracks)
    usable = [track for track in tracks if track.usable]
    extent = [
        max(track.high[axis] for track in usable) - min(track.low[axis] for track in usable)
        for axis in range(sides if usable else 0)
    ]
    longest = max(track.longest_gap for track in tracks)
    gaps = sum(track.gaps for track in tracks)
    same = bool(steps) and max(steps) <= 1.01 * min(steps)
    return (
        f"all {len(tracks)}",
        f"{sum(samples)} ({min(samples)} to {max(samples)})",
        f"{seconds_text(min(t.duration for t in tracks))} to {seconds_text(max(t.duration for t in tracks))}",
        rate_text(next(track for track in tracks if track.step in steps)) if same else "various",
        " x ".join(_number(each) for each in extent) + unit if extent else "-",
        str(gaps) + (f" (to {seconds_text(longest)})" if gaps else ""),
        f"{_number(_middle(each[0] for each in speeds))} to {_number(max(each[2] for each in speeds))}"
        f"{unit or ' units'}/s"
        if speeds
        else "-",
        f"{_number(_middle(noise))}{unit}" if noise else "-",
    )


def _each_finding(tracks: Sequence[TrackSummary]) -> list[str]:
    several = len(tracks) > 1
    return [
        f"{track.track or 'a track'}: {finding}" if several else str(finding)
        for track in tracks
        for finding in track.findings
    ]


def _findings_by_kind(tracks: Sequence[TrackSummary]) -> list[str]:
    """One sentence a kind: in how many tracks, how often, and the worst of them."""
    kinds: dict[str, list[tuple[TrackSummary, Finding]]] = {}
    for track in tracks:
        for finding in track.findings:
            kinds.setdefault(finding.kind, []).append((track, finding))
    lines = []
    for kind, found in kinds.items():
        worst, finding = max(found, key=lambda pair: pair[1].count)
        total = sum(each.count for _, each in found)
        lines.append(
            f"{kind}: in {counted(len(found), 'track')}, {total} in all; most in {worst.track}: {finding}"
        )
    return lines


def _middle(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _number(value: float) -> str:
    """Three digits, without an exponent where people would not write one."""
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.2e}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
