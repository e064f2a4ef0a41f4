"""Models as tables and text for people."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from examples.trajectory_3d.metrics import METRICS
from examples.trajectory_3d.model_json import files_of
from examples.trajectory_3d.model_layers import model_parts
from examples.trajectory_3d.plain_files import mapping_at, number_at, text_at
from examples.trajectory_3d.run_metadata import BROKEN, RunInfo, finite, when_of
from m.config import dump_yaml

SORT_KEYS: dict[str, Callable[[RunInfo], Any]] = {
    "name": lambda info: info.name.casefold(),
    "when": lambda info: -info.modified,  # newest first
    "error": lambda info: finite(info.error),
    "gn": lambda info: finite(info.gn),
    "size": lambda info: info.size_bytes,
    "steps": lambda info: info.step,
    "parameters": lambda info: info.total_parameters,
}
_WIDE = 150  # columns of a terminal, from where on a row is one line
_UNITS = {spec.name: spec.unit for spec in METRICS}
_COLOURS = {"running": "cyan", "finished": "green", "exported": "green", "interrupted": "yellow"}


def ordered(infos: Sequence[RunInfo], key: str, *, reverse: bool = False) -> list[RunInfo]:
    """Sorted by one of `SORT_KEYS`; those without a value come last, also in reverse."""
    value = SORT_KEYS[key]
    known = [info for info in infos if value(info) is not None]
    return sorted(known, key=value, reverse=reverse) + [info for info in infos if value(info) is None]


def list_table(infos: Sequence[RunInfo], width: int) -> RenderableType:
    """One row for each model, of two lines where the width is small, and beneath what is wrong with which."""
    notes = [_cell(f"{info.path}: {each}") for info in infos for each in info.problems]
    table = _wide_table(infos) if width >= _WIDE else _narrow_table(infos)
    return Group(table, *([Text(), *notes] if notes else []))


def _narrow_table(infos: Sequence[RunInfo]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", overflow="fold")
    for title in ("when", "status", "validation", "size", "test"):
        table.add_column(title, no_wrap=True)
    for info in infos:
        name, when, status, steps, best, architecture, parameters, size, test = _row(info)
        metric, _, value = best.partition(" ")
        pairs = (
            (name, architecture),
            (when[:10], when[11:]),
            (status, steps),
            (metric, value),
            (size, parameters),
            (test.partition(", ")[0], test.partition(", ")[2]),
        )
        cells = [_cell(first).append_text(_cell(f"\n{second}")) for first, second in pairs]
        table.add_row(*cells, style="dim" if info.status in BROKEN else None)
    return table


def _wide_table(infos: Sequence[RunInfo]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in (
        "name",
        "when",
        "status",
        "steps",
        "validation",
        "architecture",
        "parameters",
        "size",
        "test",
    ):
        right = title in ("steps", "parameters", "size")
        table.add_column(title, justify="right" if right else "left", overflow="fold")
    for info in infos:
        table.add_row(*map(_cell, _row(info)), style="dim" if info.status in BROKEN else None)
    return table


def details_text(info: RunInfo) -> RenderableType:
    """Everything that is known of one model."""
    return Group(
        _cell(info.name),
        _pairs(_overview(info)) or "",
        *_section("Architecture", _layers_table(info)),
        *_section("Training", _pairs(_training(info))),
        *_section("Validation", _pairs(_validation(info))),
        *_section("Evaluation", _evaluation_table(info)),
        *_section(
            "Files", _pairs([(each["name"], bytes_text(each["size_bytes"])) for each in files_of(info)])
        ),
        *_section("Configuration", _cell(dump_yaml(dict(info.config)).rstrip()) if info.config else None),
    )


def bytes_text(count: int) -> str:
    """Bytes in a unit that keeps the number short."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if unit != "B" else f"{count} B"


def one_line(info: RunInfo) -> str:
    """A model as a line of a list to choose from."""
    parts = (f"{when_of(info):%Y-%m-%d %H:%M}", info.status, info.architecture, _best(info))
    return f"{info.name}  " + "  ".join(part for part in parts if part)


def _cell(text: str) -> Text:
    """Text as it is: names may hold what would be markup, or steer a terminal."""
    shown = "".join(
        each if each.isprintable() or each == "\n" else "\N{REPLACEMENT CHARACTER}" for each in text
    )
    return Text(shown, style=_COLOURS.get(text, ""))


def _row(info: RunInfo) -> tuple[str, ...]:
    steps = "" if info.step is None else f"{info.step}/{'?' if info.max_steps is None else info.max_steps}"
    test = [f"{info.error:.4g} {_unit(info)}"] if info.error is not None else []
    test += [f"gn {info.gn:.3g}"] if info.gn is not None else []
    when = f"{when_of(info):%Y-%m-%d %H:%M}"
    size = bytes_text(info.size_bytes)
    parameters = _parameters(info)
    return (
        info.name,
        when,
        info.status,
        steps,
        _best(info),
        info.architecture,
        parameters,
        size,
        ", ".join(test),
    )


def _best(info: RunInfo) -> str:
    if info.metric is None or info.best is None:
        return ""
    value = f"{info.best:.4g}" if math.isfinite(info.best) else "not finite"
    return f"{info.metric} {value} {_UNITS.get(info.metric.partition('/')[0], '')}".rstrip()


def _parameters(info: RunInfo) -> str:
    if info.total_parameters is None:
        return ""
    active = "?" if info.active_parameters is None else _short(info.active_parameters)
    return f"{_short(info.total_parameters)}/{active}"


def _short(count: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.3g}{unit}"
    return str(count)


def _section(title: str, content: RenderableType | None) -> list[RenderableType]:
    return [] if content is None else [Text(), Text(title, style="bold"), content]


def _pairs(pairs: Sequence[tuple[str, object]]) -> RenderableType | None:
    known = [(name, value) for name, value in pairs if value is not None and value != ""]
    if not known:
        return None
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in known:
        table.add_row(_cell(name), _cell(str(value)))
    return table


def _overview(info: RunInfo) -> list[tuple[str, object]]:
    total, active = info.total_parameters, info.active_parameters
    return [
        ("path", info.path),
        ("kind", info.kind),
        ("status", info.status),
        *(("problem", each) for each in info.problems),
        ("written", f"{when_of(info):%Y-%m-%d %H:%M:%S %Z}"),
        ("size", bytes_text(info.size_bytes)),
        ("architecture", info.architecture),
        ("parameters", None if total is None else f"{total:,}, of which a token uses {active or 0:,}"),
        ("command", text_at(info.summary, "command")),
        ("git commit", text_at(info.summary, "git_commit")),
        (
            "versions",
            ", ".join(f"{name} {each}" for name, each in mapping_at(info.summary, "versions").items()),
        ),
        ("exported from", ", ".join(f"{k} {v}" for k, v in mapping_at(info.config, "metadata").items())),
    ]


def _training(info: RunInfo) -> list[tuple[str, object]]:
    training = mapping_at(info.config, "training")
    seconds, speed = number_at(info.summary, "elapsed_seconds"), number_at(info.summary, "windows_per_second")
    precision, reason = text_at(info.summary, "precision"), text_at(info.summary, "precision_reason")
    names = ("optimizer", "learning_rate", "batch_size", "seed")
    return [
        ("steps", None if info.step is None else f"{info.step} of {info.max_steps or '?'}"),
        *((name.replace("_", " "), training.get(name)) for name in names),
        ("time", None if seconds is None else f"{seconds:.1f} s"),
        ("speed", None if speed is None else f"{speed:.4g} windows/s"),
        ("device", text_at(info.summary, "device")),
        ("precision", f"{precision} ({reason})" if precision and reason else precision),
        ("compiled", text_at(info.summary, "compiled_reason") if info.summary.get("compiled") else None),
        ("machine", text_at(info.summary, "machine")),
        ("started", text_at(info.summary, "started")),
    ]


def _validation(info: RunInfo) -> list[tuple[str, object]]:
    best = mapping_at(info.summary, "best_validation", "metrics")
    if not best:
        return []
    values = [(name, number_at(best, name)) for name in best]
    shown = [(name, f"{value:.5g} {_UNITS.get(name.partition('/')[0], '')}".rstrip())
             for name, value in values if value is not None]  # fmt: skip
    return [("best at step", info.best_step), *shown]


def _layers_table(info: RunInfo) -> RenderableType | None:
    parts = model_parts(info.model)
    if not parts:
        return None
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("place", "part", "settings", "parameters", "active"):
        table.add_column(title, justify="right" if title in ("parameters", "active") else "left")
    for part in parts:
        cells = (part.place, part.name, part.detail, f"{part.parameters:,}", f"{part.active:,}")
        table.add_row(*map(_cell, cells))
    return table


def _evaluation_table(info: RunInfo) -> RenderableType | None:
    """Position error by type of motion: the model and the baselines."""
    found = info.evaluation.get("forecasters")
    scores = [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []
    groups = list(dict.fromkeys(group for each in scores for group in mapping_at(each, "groups")))
    if not scores or not groups:
        return None
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"position error, {_unit(info)}")
    for each in scores:
        table.add_column(_cell(str(each.get("name"))), justify="right")
    for group in groups:
        values = [number_at(each, "groups", group, "metrics", "position_error") for each in scores]
        table.add_row(_cell(group), *("-" if value is None else f"{value:.4g}" for value in values))
    return table


def _unit(info: RunInfo) -> str:
    """Of the positions that it was evaluated on."""
    return text_at(info.evaluation, "unit") or "m"
