"""Equal training times: one trunk at constant rate, one annealed branch for every budget.

A score after N minutes is only fair when the learning rate has come down to zero by then, yet a schedule
made for 60 minutes has not come down after 7. Separate runs of 7, 20 and 60 minutes would cost 87 minutes
for every model. Warm-up, constant, decay schedules (Hägele et al. 2024, arXiv 2405.18392; Hu et al. 2024,
arXiv 2404.06395) share the constant part: a trunk trains at the peak rate, and at (1 - d) of a budget a
copy of it branches off and decays linearly to zero over the remaining share d. The budgets then cost
(1 - d) 60 + d (7 + 20 + 60) minutes, 68 for d = 0.3. The trunk never notices: the branch is another model
and optimizer with a copy of the state and a stream of its own from the same position on.

On the clock: data generation, forward, backward, clipping, optimizer. Off the clock, for all alike:
evaluation, writing, the start of data workers with the first batch they deliver, and two warm-up steps
that are undone (compilation, first allocations). Models are trained one after the other, never together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.flops import flops_per_window
from benchmarks.forecast_skill.contestants import Contestant, TrainedForecaster
from benchmarks.forecast_skill.learner import Clock, Learner, second_learner
from benchmarks.forecast_skill.records import BudgetRecord, ResultStore
from benchmarks.forecast_skill.schedule import branch_factor, branch_point, trunk_factor
from benchmarks.forecast_skill.scores import SkillScores, judge
from examples.trajectory_3d.evaluation import EvaluationSet
from m.checkpoint import load_checkpoint, model_payload, save_checkpoint
from m.training.random_state import preserved_random

TRUNK = "trunk.pt"
_LATE = 0.1  # share of a decay that may be lost before a trunk counts as too far gone for the branch

Announce = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """How long and by which schedule.

    Attributes:
        minutes: budgets of training time.
        decay_share: share of a budget over which its branch decays, d.
        warmup_seconds: of the trunk.
        snapshot_seconds: training time between two writes of the trunk.

    Raises:
        ValueError: a number out of range, or a warm-up that outlasts the trunk of a budget.
    """

    minutes: tuple[float, ...]
    decay_share: float = 0.3
    warmup_seconds: float = 20.0
    snapshot_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not self.minutes or min(self.minutes) <= 0 or len(set(self.minutes)) != len(self.minutes):
            raise ValueError(f"minutes must be different positive budgets, got {list(self.minutes)}")
        if not 0.0 < self.decay_share < 1.0:
            raise ValueError(f"decay_share must lie within (0, 1), got {self.decay_share}")
        if self.snapshot_seconds <= 0:
            raise ValueError(f"snapshot_seconds must be positive, got {self.snapshot_seconds}")
        shortest = branch_point(60 * min(self.minutes), self.decay_share)
        if not 0.0 <= self.warmup_seconds < shortest:
            raise ValueError(
                f"warmup_seconds {self.warmup_seconds} must lie in [0, {shortest:.3g}), "
                "the trunk of the smallest budget"
            )


def run_race(
    contestant: Contestant,
    plan: RacePlan,
    store: ResultStore,
    windows: EvaluationSet,
    *,
    device: torch.device,
    clock: Clock = time.perf_counter,
    announce: Announce = print,
) -> None:
    """Train and judge a contestant for every budget that the store does not hold yet.

    Leaves ``<model>/trunk.pt`` and ``<model>/<minutes>min.pt`` beside the results. Run again after a
    stop, it goes on from the last snapshot of the trunk; what a branch had done is done again.

    Raises:
        ValueError: results or trunk are of another set-up of this contestant, or the trunk has passed
            the point where a budget's branch leaves it.
        CheckpointError: the trunk cannot be read or does not fit.
        NonFiniteLossError: training diverged.
    """
    folder = store.path.parent / contestant.name
    open_budgets = _unfinished(contestant, plan, store)
    if not open_budgets:
        announce(f"{contestant.name}: all budgets are finished")
        return
    trunk = Learner(contestant, device, clock)
    _resume(trunk, folder / TRUNK, announce)
    _check_reachable(trunk, open_budgets[0], plan)
    trunk.warm_up()
    flops = _count_flops(contestant, device)
    batches = trunk.batches()
    for minutes in open_budgets:
        point = branch_point(60 * minutes, plan.decay_share)
        while trunk.progress.elapsed < point:
            stop = min(point, trunk.progress.elapsed + plan.snapshot_seconds)
            trunk.train_until(stop, batches, lambda elapsed: trunk_factor(elapsed, plan.warmup_seconds))
            save_checkpoint(folder / TRUNK, trunk.snapshot())
        with preserved_random(device):
            branch = grow_branch(trunk, 60 * minutes)
            scores = judge_learner(branch, windows)
        _save_weights(branch, folder / f"{minutes:g}min.pt")
        store.add(_record(branch, minutes, scores, flops))
        announce(
            f"{contestant.name}, {minutes:g} min: gn {scores.gn:.4f}, "
            f"position error {scores.position_error:.4f} m after {branch.progress.step:,} steps"
        )


def grow_branch(trunk: Learner, budget: float) -> Learner:
    """A copy of the trunk, annealed until ``budget`` seconds of training. Leaves the trunk as it is.

    Draws from the global random generators: hold `preserved_random` around it.
    """
    branch = second_learner(trunk, trunk.snapshot())
    branch.warm_up()
    began = branch.progress.elapsed
    branch.train_until(budget, branch.batches(), lambda elapsed: branch_factor(elapsed, began, budget))
    return branch


def _unfinished(contestant: Contestant, plan: RacePlan, store: ResultStore) -> list[float]:
    others = [r for r in store.records if r.model == contestant.name]
    if any(r.description != contestant.description for r in others):
        raise ValueError(
            f"{store.path} holds results of another set-up of '{contestant.name}'; "
            "choose another folder, or --label for a variant of the mixture"
        )
    return [minutes for minutes in sorted(plan.minutes) if store.find(contestant.name, minutes) is None]


def _resume(trunk: Learner, path: Path, announce: Announce) -> None:
    if not path.exists():
        return
    state = load_checkpoint(path, kind="training_state")
    if state["metadata"]["contestant"] != trunk.contestant.description:
        raise ValueError(f"{path} is of another set-up of '{trunk.contestant.name}'; choose another folder")
    trunk.restore(state, str(path))
    announce(f"{trunk.contestant.name}: goes on from {trunk.progress.elapsed / 60:.2f} min")


def _check_reachable(trunk: Learner, minutes: float, plan: RacePlan) -> None:
    budget = 60 * minutes
    point = branch_point(budget, plan.decay_share)
    if trunk.progress.elapsed > point + _LATE * (budget - point):
        raise ValueError(
            f"the trunk of '{trunk.contestant.name}' stands at {trunk.progress.elapsed / 60:.2f} min, beyond "
            f"{point / 60:.2f} min where the branch of {minutes:g} min leaves it; use another folder for it"
        )


def _count_flops(contestant: Contestant, device: torch.device) -> int:
    with preserved_random(device):
        probe = Learner(contestant, device, time.perf_counter)
        return flops_per_window(probe.model, next(contestant.batches(0)).to(device))


def judge_learner(learner: Learner, windows: EvaluationSet) -> SkillScores:
    """Scores of the learner's model as it would ship, in evaluation mode."""
    learner.model.eval()
    try:
        with learner.shipped_weights():
            return judge(TrainedForecaster(learner.contestant, learner.model), windows)
    finally:
        learner.model.train()


def _save_weights(learner: Learner, path: Path) -> None:
    with learner.shipped_weights():
        payload = model_payload(
            learner.model.state_dict(),
            step=learner.progress.step,
            metadata={"contestant": learner.contestant.description},
        )
        save_checkpoint(path, payload)


def _record(learner: Learner, minutes: float, scores: SkillScores, flops: int) -> BudgetRecord:
    return BudgetRecord(
        model=learner.contestant.name,
        title=learner.contestant.title,
        minutes=minutes,
        seconds=learner.progress.elapsed,
        cpu_seconds=learner.cpu_seconds,
        steps=learner.progress.step,
        windows=learner.windows_seen,
        parameters=sum(p.numel() for p in learner.model.parameters() if p.requires_grad),
        flops_per_window=flops,
        scores=scores,
        description=learner.contestant.description,
    )
