"""``comparison_report.txt``: the study as plain text, readable at 110 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from examples.trajectory_3d.evaluation_set import MIXED
from examples.trajectory_3d.study.summary import GN, POSITION_ERROR
from examples.trajectory_3d.study.words import (
    claims,
    error_of,
    interval,
    interval_notes,
    number,
    scored,
    with_interval,
)

WIDTH = 110
_NAME_WIDTH = 26
_COLUMNS_AT_ONCE = 6  # types in one table
_NOTES = """\
gn: position error over the context's spread, geometric mean over windows, then types (docs/metrics.md).
active: parameters that one token uses. MFLOP: of one forecast's matrix products (2 per multiply-add).
TFLOP: of the whole training, three forward passes for every window seen. train s: time on the clock of the
steps that count, validations included. core s: processor seconds of all threads and sessions, work repeated
after a restart included. windows/s: median over the steps of the last session. ms: median time of one
forecast of one path, after training. MB: most memory resident in training. Times and speeds depend on what
else the machine did; compare FLOPs first."""

Content = Mapping[str, Any]
Rows = list[list[str]]


def render_text(content: Content) -> str:
    """The whole report; what it shows is described in `summary.summarise`."""
    study = content["study"]
    title = "Comparison study"
    head = [title, "=" * len(title), *_facts(study), ""]
    blocks = ["\n".join(head + [_wrapped(f"- {text}", "  ") for text in claims(content)])]
    for index, group in enumerate(content["groups"], start=1):
        blocks += _group_blocks(group, f"Data {index} of {len(content['groups'])}: {group['description']}")
    blocks.append("\n".join([*(_wrapped(note) for note in interval_notes(content)), _NOTES]))
    blocks += [_runs(content["runs"]), _origins(content["runs"])]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _facts(study: Content) -> list[str]:
    facts = {
        "command": study["command"],
        "plan": f"{study['plan_hash']}, begun {study['created']}",
        "threads": f"{study['threads_per_trial']} for each trial",
    }
    if study["early_stop"] is not None:
        facts["early stop"] = f"successive halving (Optuna), reduction factor {study['early_stop']}"
    return [_wrapped(f"{name:<11}{value}", " " * 11) for name, value in facts.items()]


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(_ascii(text), WIDTH, subsequent_indent=indent, break_on_hyphens=False)


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _group_blocks(group: Content, title: str) -> list[str]:
    arms = scored(group)
    blocks = [_wrapped(title) + "\n" + "=" * min(WIDTH, len(title))]
    if not arms:
        return [*blocks, "No trial has finished yet."]
    blocks.append(_table("Error on the test windows, all types together", _headline(group, arms)))
    kinds = [kind for kind in group["types"] if kind in arms[0]["scores"]]
    for first in range(0, len(kinds), _COLUMNS_AT_ONCE):
        shown = kinds[first : first + _COLUMNS_AT_ONCE]
        blocks.append(_table("Mean position error by motion type, metres", _errors(group, arms, shown)))
    blocks.append(_table("Size and work", _sizes(arms)))
    blocks.append(_table("What it took (means over the finished trials)", _costs(arms)))
    for ratio in group["ratios"]:
        name = f"{ratio['label']} / its dense partner {ratio['dense']}, {len(ratio['seeds'])} seed(s)"
        blocks.append(_table(name, _ratio_rows(ratio, [*kinds, MIXED])))
    return blocks


def _headline(group: Content, arms: Sequence[Content]) -> Rows:
    rows = [["", "seeds", "position error, m", "gn", "of the best baseline's error"]]
    rivals = [baseline["scores"][MIXED][POSITION_ERROR] for baseline in group["baselines"]]

    def share(value: float) -> str:
        return f"{100 * value / min(rivals):.0f} %" if rivals and min(rivals) else ""

    for arm in arms:
        error = error_of(arm) or {}
        seeds = f"{arm['finished']}" + ("" if arm["finished"] == arm["planned"] else f" of {arm['planned']}")
        cells = [with_interval(error), with_interval(arm["scores"][MIXED][GN])]
        rows.append([arm["label"], seeds, *cells, share(error["mean"])])
    for baseline in group["baselines"]:
        scores = baseline["scores"][MIXED]
        cells = [number(scores[POSITION_ERROR]), number(scores[GN])]
        rows.append([f"({baseline['name']})", "", *cells, share(scores[POSITION_ERROR])])
    return rows


def _errors(group: Content, arms: Sequence[Content], kinds: Sequence[str]) -> Rows:
    rows = [["", *kinds]]
    for arm in arms:
        cells = [error_of(arm, kind) for kind in kinds]
        rows.append([arm["label"], *("n/a" if c is None else number(c["mean"]) for c in cells)])
        if any(interval(cell) for cell in cells):
            rows.append(["", *(interval(cell) for cell in cells)])
    for baseline in group["baselines"]:
        values = [baseline["scores"].get(kind, {}).get(POSITION_ERROR) for kind in kinds]
        rows.append([f"({baseline['name']})", *(number(value) for value in values)])
    return rows


def _sizes(arms: Sequence[Content]) -> Rows:
    rows = [["", "parameters", "active", "MFLOP/forecast", "windows seen", "TFLOP trained", "error, m"]]
    for arm in arms:
        costs = arm["costs"]
        rows.append(
            [
                arm["label"],
                f"{costs['total_parameters'] / 1e6:.3f} M",
                f"{costs['active_parameters'] / 1e6:.3f} M",
                number(costs["forward_megaflops"]),
                f"{costs['training_windows']:,}",
                number(costs["training_teraflops"]),
                number(arm["scores"][MIXED][POSITION_ERROR]["mean"]),
            ]
        )
    return rows


def _costs(arms: Sequence[Content]) -> Rows:
    columns: dict[str, Callable[[Content], str]] = {
        "train s": lambda costs: number(costs["training_seconds"]),
        "core s": lambda costs: number(costs["core_seconds"]),
        "windows/s": lambda costs: number(costs["windows_per_second"]),
        "ms": lambda costs: number(costs["milliseconds_per_forecast"]),
        "MB": lambda costs: number(costs["peak_memory_mb"], 4),
    }
    if any(arm["costs"]["peak_gpu_memory_mb"] is not None for arm in arms):
        columns["GPU MB"] = lambda costs: number(costs["peak_gpu_memory_mb"], 4)
    return [
        ["", *columns],
        *([arm["label"], *(show(arm["costs"]) for show in columns.values())] for arm in arms),
    ]


def _ratio_rows(ratio: Content, kinds: Sequence[str]) -> Rows:
    rows = [["motion", "position error", "gn", "of each seed (position error)"]]
    for kind in kinds:
        estimates = [ratio[metric].get(kind) for metric in (POSITION_ERROR, GN)]
        each = " ".join(f"{value:.3f}" for value in (estimates[0] or {"values": ()})["values"])
        rows.append([kind, *(with_interval(estimate) for estimate in estimates), each])
    return rows


def _runs(runs: Sequence[Content]) -> str:
    rows = [["run folder, below runs/", "seed", "config hash", "commit", "steps", "restarts", "status"]]
    rows += [
        [
            run["name"],
            str(run["seed"]),
            run["config_hash"] or "n/a",
            run["git_commit"] or "n/a",
            f"{run['step']}/{run['max_steps']}",
            str(run["restarts"]),
            run["status"],
        ]
        for run in runs
    ]
    reasons = [_wrapped(f"{run['name']}: {run['reason']}{_last(run)}", "  ") for run in runs if run["reason"]]
    return "\n".join([_table("Where every number comes from", rows, name_width=44), *reasons])


def _last(run: Content) -> str:
    """The last validation of a run that has no scores on the test windows."""
    if run["status"] == "finished" or not run["curve"]:
        return ""
    step, _, value, _ = run["curve"][-1]
    return f" (validation at step {step}: {run['metric']} {number(value)})"


def _origins(runs: Sequence[Content]) -> str:
    """Versions and machines; named by run only when they differ."""
    origins: dict[str, list[str]] = {}
    for run in runs:
        if run["versions"]:
            versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
            text = f"{run['machine']}, {run['device']}, {run['precision']}; {versions}"
            origins.setdefault(text, []).append(run["name"])
    if len(origins) <= 1:
        return "\n".join(_wrapped(f"All runs: {text}", "  ") for text in origins)
    return "\n".join(_wrapped(f"{', '.join(names)}: {text}", "  ") for text, names in origins.items())


def _table(title: str, rows: Rows, *, name_width: int = _NAME_WIDTH) -> str:
    """Align columns: names to the left, wrapped where they are long; numbers to the right."""
    wrapped: Rows = []
    for name, *cells in rows:
        parts = textwrap.wrap(_ascii(name), name_width, break_on_hyphens=True) or [""]
        wrapped.append([parts[0], *map(_ascii, cells)])
        wrapped += [[part, *("" for _ in cells)] for part in parts[1:]]
    widths = [max(len(row[column]) for row in wrapped) for column in range(len(wrapped[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in wrapped
    ]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([_ascii(title), rule, lines[0], rule, *lines[1:], rule])
