"""Training by many processes: the same losses, weights and checkpoints as by one."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from parallel_runs import STEPS, Plan, train, train_here
from processes import Crew

from m.checkpoint import load_checkpoint
from m.parallel import ParallelConfig, joined_world
from m.training import Callback

KINDS = {
    "ddp": (2, {}),
    "fsdp": (2, {"mode": "fsdp"}),
    "experts": (2, {"expert": 2}),
    "ddp of 4": (4, {}),
    "ddp x experts": (4, {"expert": 2}),
    "fsdp x experts": (4, {"mode": "fsdp", "expert": 2}),
}


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(4) as started:
        yield started


def assert_same_model(folder: Path, expected: Path) -> None:
    one, many = (
        load_checkpoint(where / "final_model.pt", kind="model")["model"] for where in (expected, folder)
    )
    for name, tensor in one.items():
        torch.testing.assert_close(many[name], tensor, rtol=1e-3, atol=2e-5, msg=f"{name} differs")


VARIANTS = {
    "plain": Plan(),
    "two micro-batches a step": Plan(training={"accumulation_steps": 2}),
    "experts tied at first": Plan(model=("experts.tied_steps=3",)),
    "balanced by a bias": Plan(model=("router.kind=topk_bias", "router.bias_update_rate=0.05")),
    "activations computed again": Plan(training={"activation_checkpointing": True}),
    # Sequences of one length, else a part's rows are not those that the whole batch draws noise for.
    "noise on the router": Plan(model=("router.noise_std=0.1", "context.shortened_share=0")),
}


SPREAD = "experts"
PLAIN = "plain"


def some_fast(pairs: Iterable[tuple[str, str]], fast: Callable[[str, str], bool]) -> list[Any]:
    """All pairs, of which few are tried by default."""
    return [pytest.param(*pair, marks=() if fast(*pair) else pytest.mark.slow) for pair in pairs]


@pytest.mark.parametrize(
    ("kind", "variant"),
    some_fast(
        itertools.product(KINDS, VARIANTS),
        lambda kind, variant: variant == PLAIN or kind == SPREAD,
    ),
)
def test_losses_and_weights_are_those_of_one_process(
    kind: str, variant: str, crew: Crew, tmp_path: Path
) -> None:
    size, parallel = KINDS[kind]
    plan = VARIANTS[variant]
    expected = train(tmp_path / "one", plan)
    many = dataclasses.replace(plan, parallel=parallel)
    found = crew.run(size, train_here, tmp_path / "many", many)[0]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=2e-5, atol=2e-6)
    assert_same_model(tmp_path / "many", tmp_path / "one")


@pytest.mark.parametrize("kind", ["ddp", "ddp x experts"])
def test_soap_goes_as_in_one_process(kind: str, crew: Crew, tmp_path: Path) -> None:
    # Not to the last digits: covariances of few rows have directions without any curvature, whose basis
    # rounding decides. test_soap.py has what can be compared exactly.
    size, parallel = KINDS[kind]
    training = {"optimizer": "soap", "soap_refresh_interval": 2, "learning_rate": 0.003}
    plan = Plan(training=training)
    expected = train(tmp_path / "one", plan)
    found = crew.run(size, train_here, tmp_path / "many", dataclasses.replace(plan, parallel=parallel))[0]
    assert [loss for loss, *_ in found] == pytest.approx([loss for loss, *_ in expected], rel=5e-3)


def test_soap_refuses_matrices_that_are_split(crew: Crew, tmp_path: Path) -> None:
    plan = Plan(parallel={"mode": "fsdp"}, training={"optimizer": "soap"})
    with pytest.raises(AssertionError, match=r"ConfigError: training.optimizer soap turns whole matrices"):
        crew.run(2, train_here, tmp_path, plan)


KINDS_AND_ONE: dict[str, tuple[int, dict[str, Any] | None]] = {"one process": (1, None), **KINDS}
RING = list(KINDS_AND_ONE)
FAST_PAIRS = {
    ("one process", "fsdp x experts"),
    ("fsdp x experts", "one process"),
    ("fsdp", "experts"),
    ("experts", "ddp"),
}


@pytest.mark.parametrize(
    ("before", "after"),
    some_fast(
        itertools.product(RING, RING),
        lambda before, after: (before, after) in FAST_PAIRS,
    ),
)
def test_a_state_is_taken_up_by_another_kind_of_parallelism(
    before: str, after: str, crew: Crew, tmp_path: Path
) -> None:
    folder = tmp_path / "parts"
    half = Plan(training={"max_steps": STEPS // 2, "schedule": "constant"})
    rest = Plan(training={"schedule": "constant"}, resume=True)
    expected = train(tmp_path / "constant", Plan(training={"schedule": "constant"}))
    found: list[tuple[float, ...]] = []
    for kind, plan in ((before, half), (after, rest)):
        size, parallel = KINDS_AND_ONE[kind]
        if parallel is None:
            found = train(folder, plan)
        else:
            found = crew.run(size, train_here, folder, dataclasses.replace(plan, parallel=parallel))[0]
    torch.testing.assert_close(
        torch.tensor(found), torch.tensor(expected[STEPS // 2 :]), rtol=2e-5, atol=2e-6
    )
    assert_same_model(folder, tmp_path / "constant")


class Freeze(Callback):
    """Stops its process as a machine stops that is cut off: nothing is closed, nothing answers."""

    def on_step(self, record: Any) -> None:
        if record.step == 3:
            os.kill(os.getpid(), signal.SIGSTOP)


def train_until_frozen(folder: Path, plan: Plan) -> None:
    with joined_world(ParallelConfig(**plan.parallel), "cpu") as world:
        train(folder, plan, world, (Freeze(),))


@pytest.mark.parametrize(
    "parallel",
    [
        {},
        pytest.param({"mode": "fsdp"}, marks=pytest.mark.slow),
        pytest.param({"expert": 2}, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_stops_answering_ends_the_others(parallel: dict[str, Any], tmp_path: Path) -> None:
    with Crew(2) as crew:
        began = time.monotonic()
        crew.begin(2, train_until_frozen, tmp_path, Plan(parallel={**parallel, "timeout": 4.0}))
        _, trace = crew.answer(1)  # the main process froze: it alone reports steps
        assert trace is not None
        assert "LostProcessError: process 1 of 2 lost the others" in trace
        assert "--resume" in trace
        assert time.monotonic() - began < 100
