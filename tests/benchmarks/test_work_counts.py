"""Nothing may do more than is recorded of it; counted, so that busy machines tell the same."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from benchmarks.work_counts import Work, all_counts, count, recorded, regressions


@pytest.mark.slow
def test_training_steps_and_forecasts_do_no_more_than_is_recorded():
    found = all_counts()
    assert set(found) == set(recorded())
    advice = "if that is meant, run: python -m benchmarks.work_counts --record"
    assert not regressions(found, recorded()), advice


def test_what_is_counted_are_operators_bytes_and_products():
    left, right = torch.ones(32, 16, requires_grad=True), torch.ones(16, 8)

    def action():
        (left @ right).transpose(0, 1).sum().backward()  # a view is not counted

    action()  # makes the gradient
    work = count(action)
    # Product, sum, the one that gradients begin with, the second product, adding to the gradient there was.
    assert 5 <= work.operators <= 8
    assert work.gigaflops == pytest.approx(2 * 2 * 32 * 16 * 8 / 1e9)
    assert work.megabytes >= (32 * 8 + 2 * 32 * 16) * 4 / 1e6


def test_a_planted_regression_is_named():
    held = {"forecast": Work(operators=100, megabytes=2.0, gigaflops=0.5)}
    before = {"forecast": dataclasses.asdict(held["forecast"])}
    assert regressions(held, before) == []
    held["forecast"].operators = 102
    assert regressions(held, before) == []
    held["forecast"].operators, held["forecast"].gigaflops = 104, 0.6
    assert regressions(held, before) == [
        "forecast: operators 104, recorded 100",
        "forecast: gigaflops 0.6, recorded 0.5",
    ]
