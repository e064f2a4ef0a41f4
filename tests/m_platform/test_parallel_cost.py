"""The formulas of what parallel training costs, against closed cases and counted bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parallel_runs import BATCH, LENGTH, MODEL, Plan, train
from processes import Crew

from benchmarks.scaling import loopback_bytes, workload
from m.config import apply_overrides, from_dict
from m.moe import ModelConfig, MoESequenceRegressor
from m.parallel import ParallelConfig, joined_world
from m.parallel.cost import Workload, bytes_kept, bytes_sent
from m.training import Callback

WORK = Workload(
    dense_parameters=300, expert_parameters=800, expert_layers=2, dim=8, top_k=2, tokens=100, token_bytes=2
)


def test_one_process_sends_nothing() -> None:
    for mode in ("ddp", "fsdp"):
        assert bytes_sent(WORK, 1, mode).total == 0  # type: ignore[arg-type]


def test_two_processes_of_a_ring_send_each_gradient_once() -> None:
    assert bytes_sent(WORK, 2, "ddp").total == 4 * 1100  # half of it, twice
    assert bytes_sent(WORK, 2, "fsdp").total == 1.5 * 4 * 1100


def test_experts_that_only_one_process_holds_have_no_gradients_to_send() -> None:
    traffic = bytes_sent(WORK, 8, "ddp", expert=8)
    assert traffic.experts == 0
    assert traffic.dense == 2 * 7 / 8 * 4 * 300
    assert traffic.tokens == 4 * (7 / 8) * 100 * 2 * 2 * 8 * 2


def test_what_is_kept() -> None:
    assert bytes_kept(WORK, 8, "ddp") == 16 * 1100
    assert bytes_kept(WORK, 8, "fsdp") == 16 * 1100 / 8
    assert bytes_kept(WORK, 8, "ddp", expert=4) == 16 * (300 + 200)
    assert bytes_kept(WORK, 8, "fsdp", expert=4) == 16 * 1100 / 8


# Counted on the loopback device, where every byte that gloo sends passes, and nothing else while this runs.

SMALL = (
    "dim=64",
    "router.n_experts=8",
    "experts.hidden_dim=128",
    "context.shortened_share=0",
)
FIRST, LAST = 2, 6
DEVICES = Path("/proc/self/net/dev")


class Count(Callback):
    def __init__(self) -> None:
        self.at: dict[int, int] = {}

    def on_step(self, record: Any) -> None:
        self.at[record.step] = loopback_bytes()


def count(folder: Path, plan: Plan) -> float:
    counted = Count()
    with joined_world(ParallelConfig(**plan.parallel), "cpu") as world:
        train(folder, plan, world, (counted,))
    return (counted.at[LAST] - counted.at[FIRST]) / (LAST - FIRST) if counted.at else 0.0


def small_workload(processes: int) -> Workload:
    model = MoESequenceRegressor(from_dict(ModelConfig, apply_overrides(MODEL, SMALL)))
    return workload(model, BATCH // processes * LENGTH)


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew(4) as started:
        yield started


# gloo makes a reduce-scatter of an all-reduce: under fsdp a gradient travels twice as far as it need.
CASES: dict[str, tuple[int, dict[str, Any], float]] = {
    "ddp": (2, {}, 1.0),
    "ddp of 4": (4, {}, 1.0),
    "experts": (2, {"expert": 2}, 1.0),
    "ddp x experts": (4, {"expert": 2}, 1.0),
    "fsdp": (2, {"mode": "fsdp"}, 4 / 3),
}


@pytest.mark.slow
@pytest.mark.skipif(not DEVICES.exists(), reason="counts bytes by Linux's loopback device")
@pytest.mark.parametrize("case", CASES)
def test_counted_bytes_are_those_of_the_formula(case: str, crew: Crew, tmp_path: Path) -> None:
    processes, parallel, excess = CASES[case]
    settings = {"eval_interval": 100, "checkpoint_interval": 100, "max_steps": LAST + 1, "ema_decay": 0.0}
    plan = Plan(parallel=parallel, model=SMALL, training=settings)
    found = max(crew.run(processes, count, tmp_path, plan))
    mode = parallel.get("mode", "ddp")
    expected = (
        processes * bytes_sent(small_workload(processes), processes, mode, parallel.get("expert", 1)).total
    )
    assert found == pytest.approx(excess * expected, rel=0.08), (found, expected)
