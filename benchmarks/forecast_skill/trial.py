"""Short trials of one peer by steps, not minutes: they may run on a busy machine. For choosing recipes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
import yaml

from benchmarks.forecast_skill.contestants import Contestant, make_peer
from benchmarks.forecast_skill.learner import Learner
from benchmarks.forecast_skill.race import judge_learner
from benchmarks.forecast_skill.recipes import RECIPES, PeerRecipe
from benchmarks.forecast_skill.schedule import branch_factor, branch_point, trunk_factor
from benchmarks.forecast_skill.scores import SkillScores
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.windows import evaluation_windows
from m.config import nearest_hint

_WARMUP_SHARE, _DECAY_SHARE = 0.05, 0.3


def changed_recipe(recipe: PeerRecipe, changes: Sequence[str]) -> PeerRecipe:
    """A recipe with ``key=value`` changes: its own fields, or else options of its network.

    Raises:
        ValueError: a change without ``=``.
    """
    own = {f.name for f in fields(recipe)} - {"network", "options", "title"}
    values: dict[str, Any] = {}
    options = dict(recipe.options)
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"a change reads key=value, got '{change}'")
        if key in own:
            old = getattr(recipe, key)
            values[key] = type(old)(text)
        else:
            options[key] = yaml.safe_load(text)
    return replace(recipe, options=options, **values)


def run_trial(
    name: str, changes: Sequence[str], steps: int, experiment: ExperimentConfig, device: torch.device
) -> SkillScores:
    """Train a peer by steps, as `train_by_steps` does.

    Scored on the validation stream, which no race is judged on.

    Raises:
        ValueError: an unknown peer or a malformed change.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown peer '{name}'{nearest_hint(name, RECIPES)}; known: {', '.join(RECIPES)}")
    recipe = changed_recipe(RECIPES[name], changes)
    peer = make_peer(name, recipe, experiment.dataset, experiment.training.seed)
    learner = train_by_steps(peer, steps, device)
    count = experiment.evaluation.test_windows
    return judge_learner(learner, evaluation_windows(experiment.dataset, "validation", count))


def train_by_steps(contestant: Contestant, steps: int, device: torch.device) -> Learner:
    """Train for ``steps`` optimizer steps: warm-up over 5 %, constant rate, decay over the last 30 %."""
    learner = Learner(contestant, device, time.perf_counter)
    batches = learner.batches()
    leaves = branch_point(steps, _DECAY_SHARE)
    for step in range(steps):
        warm = trunk_factor(step + 1, _WARMUP_SHARE * steps)
        learner.step(batches, min(warm, branch_factor(step, leaves, steps)))
    return learner
