"""What is shown while a model trains."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from examples.trajectory_3d.training_display import (
    LineDisplay,
    LiveDisplay,
    RemainingTime,
    clock,
    load_bars,
    make_display,
)
from m.training import EvaluationRecord, StartRecord, StepRecord, TrainingConfig

ERRORS = {"position_error": 0.123, "velocity_error": 1.5, "acceleration_error": 30.0}


def play(display) -> None:
    display.on_start(
        StartRecord(
            step=0,
            max_steps=100,
            resumed=False,
            changed=("learning_rate: 0.1 -> 0.2",),
            device="cpu",
            precision="fp32",
            precision_reason="asked for",
            parameters=12345,
            output_dir=Path("runs/x"),
            config=TrainingConfig(),
        )
    )
    for step in (10, 20):
        display.on_step(
            StepRecord(
                step=step,
                loss=-0.5,
                metrics=ERRORS,
                learning_rate=0.003,
                grad_norm=1.0,
                expert_load=[[0.5, 0.25, 0.25, 0.0]],
                imbalance=2.0,
                sequences_per_second=320.0,
                tokens_per_second=20480.0,
                elapsed=step * 1.0,
            )
        )
    evaluation = EvaluationRecord(
        step=20, metrics={"loss": -0.4, **ERRORS}, is_best=True, seconds=1.0, elapsed=21.0
    )
    display.on_evaluation(evaluation)
    display.on_end("finished")


def test_lines_without_a_terminal():
    out = io.StringIO()
    console = Console(file=out, width=80)
    display = make_display(console)
    assert isinstance(display, LineDisplay)
    play(display)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("training from step 0 of 100: 12,345 parameters on cpu, fp32 (asked for)")
    assert lines[1] == "changed since: learning_rate: 0.1 -> 0.2"
    for part in ("step 20/100", "loss -0.5000", "position 0.123 m", "velocity 1.5 m/s", "imbalance 2.00"):
        assert part in lines[3]
    assert lines[3].endswith("320 windows/s  20,480 tokens/s  left 1:20")
    assert lines[4].endswith("(best)")
    assert lines[5] == "training finished"
    assert "\x1b" not in out.getvalue()


def test_a_panel_in_a_terminal():
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    display = make_display(console)
    assert isinstance(display, LiveDisplay)
    play(display)
    shown = out.getvalue()
    for part in ("20/100", "left 1:20", "position error", "0.123", "layer 0", "0% to 50%", "320", "20,480"):
        assert part in shown


def test_remaining_time_follows_the_pace():
    remaining = RemainingTime()
    assert remaining.estimate(5, 100.0, 100) is None
    assert remaining.estimate(15, 120.0, 100) == pytest.approx(170.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (float("inf"), "-"), (0, "0:00"), (59.6, "1:00"), (3725, "1:02:05")]
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_load_bars_are_half_high_when_even():
    assert load_bars([0.25] * 4) == "▄▄▄▄"
    assert load_bars([0.0, 1.0]) == " █"
