"""``--max-steps``: the same training in fewer steps, with all that is counted in steps in proportion."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from m.experts.config import ExpertsConfig
from m.training.config import TrainingConfig

_EVALUATIONS = 4  # at least so many in a shortened run, so that there is a curve and something to stop by
_RECORDS = 20


def shortened(content: Mapping[str, Any], max_steps: int) -> dict[str, Any]:
    """A configuration's content with at most ``max_steps`` steps; one that has no more is left as it is.

    Warm-up and the time that experts are tied keep their share of the run. Validations, saved states and
    records come often enough that there are some. Everything else, learning rate included, stays.

    Args:
        content: of a YAML file.
        max_steps: at least 1.
    """
    result: dict[str, Any] = copy.deepcopy(dict(content))
    training = _mapping(result, "training")
    steps = training.get("max_steps", TrainingConfig.max_steps)
    if not isinstance(steps, int) or steps <= max_steps:
        return result
    training["max_steps"] = max_steps
    for key, parts in (
        ("eval_interval", _EVALUATIONS),
        ("checkpoint_interval", _EVALUATIONS),
        ("log_interval", _RECORDS),
    ):
        training[key] = min(training.get(key, getattr(TrainingConfig, key)), -(-max_steps // parts))
    if training.get("warmup_steps") is not None:
        training["warmup_steps"] = round(training["warmup_steps"] * max_steps / steps)
    experts = _mapping(_mapping(result, "model"), "experts")
    tied = experts.get("tied_steps", ExpertsConfig.tied_steps)
    if tied:
        experts["tied_steps"] = round(tied * max_steps / steps)
    return result


def _mapping(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping under a key, made where it is missing; a broken one is left for the validation to name."""
    child = parent.setdefault(key, {})
    return child if isinstance(child, dict) else {}
