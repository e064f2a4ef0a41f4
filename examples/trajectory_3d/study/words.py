"""What a study found, in sentences; and numbers as the reports write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from examples.trajectory_3d.evaluation_set import MIXED
from examples.trajectory_3d.study.summary import POSITION_ERROR

Content = Mapping[str, Any]


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits that count; ``n/a`` for none."""
    if value is None:
        return "n/a"
    if not value:
        return "0"
    if abs(value) >= 10**6 or abs(value) < 10**-4:
        return f"{value:.{digits - 1}e}"
    rounded = float(f"{value:.{digits}g}")
    decimals = max(
        0, digits - len(str(int(abs(rounded)))) if abs(rounded) >= 1 else _decimals(rounded, digits)
    )
    return f"{rounded:.{decimals}f}"


def _decimals(value: float, digits: int) -> int:
    leading = 0
    while value and abs(value) < 0.1:
        value, leading = value * 10, leading + 1
    return digits + leading


def interval(estimate: Content | None) -> str:
    """``+-half`` of an estimate over seeds, ``low-high`` of others; empty without an interval."""
    if estimate is None or estimate["low"] is None:
        return ""
    middle, low, high = estimate["mean"], estimate["low"], estimate["high"]
    if math.isclose(high - middle, middle - low, rel_tol=1e-6) and estimate["source"] == "seeds":
        return f"+-{number(high - middle, 2)}"
    return f"{number(estimate['low'])}-{number(estimate['high'])}"


def with_interval(estimate: Content | None) -> str:
    """``mean (low-high)``."""
    if estimate is None:
        return "n/a"
    ends = interval(estimate)
    if ends.startswith("+-") and "e" not in ends:  # as many decimals as the interval has
        return f"{estimate['mean']:.{len(ends.partition('.')[2])}f} {ends}"
    return number(estimate["mean"]) + (f" ({ends})" if ends else "")


def error_of(arm: Content, kind: str = MIXED) -> Content | None:
    """Estimate of an arm's position error on a motion type; None without finished runs."""
    found: Content | None = arm["scores"].get(kind, {}).get(POSITION_ERROR)
    return found


def scored(group: Content) -> list[Content]:
    """Arms of a group that have scores, the smallest error first."""
    arms = [arm for arm in group["arms"] if error_of(arm) is not None]
    return sorted(arms, key=lambda arm: float(arm["scores"][MIXED][POSITION_ERROR]["mean"]))


def claims(content: Content) -> list[str]:
    """What the numbers say; every sentence is computed from them."""
    counts = content["counts"]
    sentences = [", ".join(f"{count} trials {status}" for status, count in counts.items()) + "."]
    if content["study"]["max_steps"] is not None:
        sentences.append(
            f"Trainings were shortened to at most {content['study']['max_steps']} steps: errors are those of "
            "a try-out, not of the configurations at their full length."
        )
    several = len(content["groups"]) > 1
    if several:
        sentences.append(
            f"The trials are judged on {len(content['groups'])} different kinds of test windows; errors in "
            "metres compare only within one."
        )
    for index, group in enumerate(content["groups"], start=1):
        where = f"On data {index}, " if several else ""
        sentences += [where + text[0].lower() + text[1:] if where else text for text in _found(group)]
    return sentences


def _found(group: Content) -> list[str]:
    arms = scored(group)
    if not arms:
        return ["No trial has finished yet."]
    best = arms[0]
    error = best["scores"][MIXED][POSITION_ERROR]
    if len(arms) > 1:
        text = f"The smallest mean position error is that of {best['label']}, {with_interval(error)} m"
        following = error_of(arms[1]) or {}
        overlap = ", and their intervals overlap" if _overlap(error, following) else ""
        text += f" (next: {arms[1]['label']}, {with_interval(following)} m{overlap})."
    else:
        text = f"The mean position error of {best['label']} is {with_interval(error)} m."
    sentences = [text]
    if group["baselines"]:
        rival = min(group["baselines"], key=lambda each: float(each["scores"][MIXED][POSITION_ERROR]))
        theirs = rival["scores"][MIXED][POSITION_ERROR]
        sentences.append(
            f"The best baseline, {rival['name']}, errs by {number(theirs)} m: "
            f"{number(theirs / error['mean'])} times the error of {best['label']}."
        )
    sentences += [_ratio_sentence(ratio) for ratio in group["ratios"]]
    return sentences


def _overlap(one: Content, other: Content) -> bool:
    if one["low"] is None or other["low"] is None:
        return False
    return bool(one["low"] <= other["high"] and other["low"] <= one["high"])


def _ratio_sentence(ratio: Content) -> str:
    estimate = ratio[POSITION_ERROR][MIXED]
    seeds = f"{len(ratio['seeds'])} seeds" if len(ratio["seeds"]) > 1 else "one seed, so without an interval"
    active = number(ratio["active_ratio"])
    return (
        f"Position error of {ratio['label']} over that of its dense partner, at {active} times its active "
        f"parameters: {with_interval(estimate)}, {seeds}; below 1 the mixture is better."
    )


def interval_notes(content: Content) -> list[str]:
    """What the intervals in the tables mean; only what occurs."""
    sources = {
        estimate["source"]
        for group in content["groups"]
        for arm in group["arms"]
        for estimate in [error_of(arm)]
        if estimate is not None
    }
    notes = []
    if "seeds" in sources:
        notes.append(
            "Intervals of several seeds: 95 % of Student's t over the seeds (other weights and training "
            "windows, the same test windows)."
        )
    if "windows" in sources:
        notes.append(
            "Intervals of one seed: 95 % bootstrap over the test windows. They do not say what another seed "
            "would have given."
        )
    return notes
