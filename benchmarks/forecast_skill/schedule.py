"""Learning rate by the clock: budgets are minutes, so warm-up and decay are measured in seconds too."""

from __future__ import annotations


def trunk_factor(elapsed: float, warmup: float) -> float:
    """Rate over the peak rate on the trunk: linear over the warm-up, then 1.

    Args:
        elapsed: seconds trained before the step.
        warmup: seconds of warm-up; 0 is none.
    """
    return 1.0 if warmup <= 0 else min(1.0, max(0.0, elapsed) / warmup)


def branch_factor(elapsed: float, began: float, budget: float) -> float:
    """Rate over the peak rate on a branch: from 1 where it left the trunk, linear to 0 at the budget.

    Args:
        elapsed: seconds trained before the step, the trunk's included.
        began: seconds at which the branch left the trunk.
        budget: seconds of training in all.

    Raises:
        ValueError: the branch would begin at its end or after.
    """
    if began >= budget:
        raise ValueError(f"a branch of {budget} s must leave the trunk earlier than at {began} s")
    return min(1.0, max(0.0, (budget - elapsed) / (budget - began)))


def branch_point(budget: float, decay_share: float) -> float:
    """Seconds on the trunk before the branch of a budget leaves it."""
    return (1.0 - decay_share) * budget
