"""What a person sees while a model trains: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.trajectory_3d.recordings.units import in_unit
from m.training import Callback, EvaluationRecord, StartRecord, StepRecord, TrainingStatus

_ERRORS = (("position_error", "m"), ("velocity_error", "m/s"), ("acceleration_error", "m/s^2"))
_BLOCKS = " ▁▂▃▄▅▆▇█"


def make_display(console: Console, unit: str = "m") -> Callback:
    """A `LiveDisplay` for a terminal, `LineDisplay` otherwise; errors are in a unit of positions."""
    return LiveDisplay(console, unit) if console.is_terminal else LineDisplay(console, unit)


class RemainingTime:
    """Seconds left, from the pace of this session (evaluation and pictures included)."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def estimate(self, step: int, elapsed: float, max_steps: int) -> float | None:
        """Seconds to ``max_steps``, None until two records have been seen."""
        if self._first is None:
            self._first = (step, elapsed)
            return None
        first_step, first_elapsed = self._first
        if step <= first_step:
            return None
        return (max_steps - step) * (elapsed - first_elapsed) / (step - first_step)


def clock(seconds: float | None) -> str:
    """``h:mm:ss`` or ``m:ss``; a dash when unknown."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _computation(record: StartRecord) -> str:
    """Number format, and whether there is something to compile first."""
    compiled = (
        f", compiled ({record.compiled_reason}; the first step takes longer)" if record.compiled else ""
    )
    return f"{record.precision} ({record.precision_reason}){compiled}"


def load_bars(shares: list[float]) -> str:
    """One block character an expert; the full block is twice the even share or more."""
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[min(top, round(share * len(shares) / 2 * top))] for share in shares)


class LineDisplay(Callback):
    """Plain lines, for logs and pipes.

    Args:
        console: where to print.
        unit: of positions.
    """

    def __init__(self, console: Console, unit: str = "m") -> None:
        self._console = console
        self._errors = _errors(unit)
        self._max_steps = 0
        self._remaining = RemainingTime()

    def on_start(self, record: StartRecord) -> None:
        """Say what starts."""
        self._max_steps = record.max_steps
        self._print(
            f"{'resuming at' if record.resumed else 'training from'} step {record.step} of "
            f"{record.max_steps}: {record.parameters:,} parameters on {record.device}, "
            f"{_computation(record)}"
        )
        for change in record.changed:
            self._print(f"changed since: {change}")

    def on_step(self, record: StepRecord) -> None:
        """One line a record."""
        left = self._remaining.estimate(record.step, record.elapsed, self._max_steps)
        errors = "  ".join(
            f"{name.split('_')[0]} {record.metrics[name]:.4g} {unit}"
            for name, unit in self._errors
            if name in record.metrics
        )
        balance = "" if record.imbalance is None else f"  imbalance {record.imbalance:.2f}"
        self._print(
            f"step {record.step}/{self._max_steps}  loss {record.loss:.4f}  {errors}{balance}  "
            f"{record.sequences_per_second:.0f} windows/s  {record.tokens_per_second:,.0f} tokens/s  "
            f"left {clock(left)}"
        )

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """One line an evaluation."""
        errors = "  ".join(f"{name} {record.metrics[name]:.4g} {unit}" for name, unit in self._errors)
        mark = "  (best)" if record.is_best else ""
        self._print(f"validation at {record.step}: loss {record.metrics['loss']:.4f}  {errors}{mark}")

    def on_end(self, status: TrainingStatus) -> None:
        """Say how it ended."""
        self._print(f"training {status}")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


class LiveDisplay(Callback):
    """A panel that is redrawn in place.

    Args:
        console: a terminal.
        unit: of positions.
    """

    def __init__(self, console: Console, unit: str = "m") -> None:
        self._console = console
        self._errors = _errors(unit)
        self._remaining = RemainingTime()
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left {task.fields[left]}"),
            console=console,
            expand=True,
        )
        self._task = self._progress.add_task("train", total=None, left="-")
        self._step: StepRecord | None = None
        self._evaluation: EvaluationRecord | None = None
        self._live = Live(console=console, refresh_per_second=4)
        self._max_steps = 0

    def on_start(self, record: StartRecord) -> None:
        """Open the panel."""
        self._max_steps = record.max_steps
        self._console.print(
            f"{'Resuming' if record.resumed else 'Training'}: {record.parameters:,} parameters on "
            f"{record.device}, {_computation(record)} -> {record.output_dir}",
            highlight=False,
        )
        for change in record.changed:
            self._console.print(f"changed since: {change}", markup=False)
        self._progress.update(self._task, total=record.max_steps, completed=record.step)
        self._live.start()
        self._redraw()

    def on_step(self, record: StepRecord) -> None:
        """Show the newest step."""
        self._step = record
        left = self._remaining.estimate(record.step, record.elapsed, self._max_steps)
        self._progress.update(self._task, completed=record.step, left=clock(left))
        self._redraw()

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Show the newest validation."""
        self._evaluation = record
        self._redraw()

    def on_end(self, status: TrainingStatus) -> None:
        """Leave the last state on screen."""
        if self._live.is_started:
            self._redraw()
            self._live.stop()
        self._console.print(f"Training {status}.")

    def _redraw(self) -> None:
        self._live.update(Panel(self._body(), title="trajectory-3d-train", border_style="cyan"))

    def _body(self) -> RenderableType:
        parts: list[RenderableType] = [self._progress]
        if self._step is not None:
            parts.append(self._numbers(self._step))
            parts.extend(_expert_lines(self._step))
        return Group(*parts)

    def _numbers(self, step: StepRecord) -> Table:
        table = Table.grid(padding=(0, 2))
        for _ in range(4):
            table.add_column(justify="right")
        table.add_row("", "[bold]training[/]", "[bold]validation[/]", "")
        seen = self._evaluation.metrics if self._evaluation else {}
        table.add_row("loss", f"{step.loss:.4f}", _number(seen.get("loss")), "nats")
        for name, unit in self._errors:
            label = name.replace("_", " ")
            table.add_row(label, _number(step.metrics.get(name)), _number(seen.get(name)), unit)
        table.add_row("speed", f"{step.sequences_per_second:.0f}", "", "windows/s")
        table.add_row("", f"{step.tokens_per_second:,.0f}", "", "tokens/s")
        table.add_row("learning rate", f"{step.learning_rate:.2e}", "", "")
        return table


def _errors(unit: str) -> list[tuple[str, str]]:
    """Errors that are shown, with their units."""
    return [(name, in_unit(of_metres, unit)) for name, of_metres in _ERRORS]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _expert_lines(step: StepRecord) -> list[str]:
    if step.expert_load is None:
        return []
    lines = [
        f"layer {index} |{load_bars(shares)}| {min(shares):.0%} to {max(shares):.0%}"
        for index, shares in enumerate(step.expert_load)
    ]
    return ["expert load (half height = even share)", *lines]
