"""The numbers of a study: trials joined to arms, arms compared on equal data. One JSON document holds all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from examples.trajectory_3d.evaluation_set import MIXED
from examples.trajectory_3d.study.collect import TrialResult
from examples.trajectory_3d.study.intervals import mean_over_seeds, ratio_over_seeds
from examples.trajectory_3d.study.plan import Trial
from examples.trajectory_3d.study.work import training_flops, training_windows
from m.config import to_dict
from m.moe import model_size

REPORT_FORMAT = "trajectory_3d.comparison"
REPORT_VERSION = 1
POSITION_ERROR, GN = "position_error", "gn"
_OWN_FIELDS = (GN, "valid_fraction")  # scores that stand beside a group's metrics
_INTERVALS = {POSITION_ERROR: "position_error_interval", GN: "gn_interval"}

Content = dict[str, Any]


def summarise(
    study: Mapping[str, Any], results: Sequence[TrialResult], baselines: Mapping[str, Sequence[Content]]
) -> Content:
    """Everything that the reports show.

    Args:
        study: content of ``study.json``.
        results: of all trials, in the plan's order.
        baselines: fingerprint of test windows -> scores of classical forecasters on them.

    Returns:
        Schema (version 1), undefined values None:
            format, version: "trajectory_3d.comparison", 1.
            study: {plan_hash, created, command, max_steps, early_stop, threads_per_trial, environment}.
            counts: status -> number of trials.
            groups: trials judged on the same test windows: list of {data, description, dataset,
                test_windows, types, arms, baselines: [{name, scores: {type: {metric: value}}}], ratios}.
            arms: list of {name, label, kind, config, changes, runs: [names], finished, planned, scores:
                {type or "mixed": {metric: {mean, low, high, source, values}}}, costs: {name: mean of the
                finished runs}}; source says what the 95 % interval is over: "seeds" or "windows".
            ratios: list of {moe, dense, active_ratio, position_error, gn: {type: {mean, low, high, source,
                values}}}, geometric means over the seeds that both have.
            runs: list of {name, arm, seed, status, reason, restarts, step, max_steps, config_hash, device,
                git_commit, machine, versions, started, metric, curve: [[step, windows, value, seconds]]}.
    """
    groups: dict[str, list[TrialResult]] = {}
    for result in results:
        groups.setdefault(result.trial.data, []).append(result)
    counts: dict[str, int] = {}
    for result in results:
        counts[result.status] = counts.get(result.status, 0) + 1
    plan = study["plan"]
    return {
        "format": REPORT_FORMAT,
        "version": REPORT_VERSION,
        "study": {
            "plan_hash": study["plan_hash"],
            "created": study["created"],
            "command": study["environment"]["command"],
            "max_steps": plan["max_steps"],
            "early_stop": plan["early_stop"],
            "threads_per_trial": study["threads_per_trial"],
            "environment": study["environment"],
        },
        "counts": counts,
        "groups": [_group(data, members, baselines.get(data, ())) for data, members in groups.items()],
        "runs": [_run(result) for result in results],
    }


def _group(data: str, members: Sequence[TrialResult], baselines: Sequence[Content]) -> Content:
    experiment = members[0].trial.experiment
    dataset = experiment.dataset
    arms: dict[str, list[TrialResult]] = {}
    for result in members:
        arms.setdefault(result.trial.arm, []).append(result)
    types = [kind for kind in dataset.type_names if dataset.type_weights[kind] > 0]
    scored = next((result.groups for result in members if result.groups is not None), {})
    types += [kind for kind in scored if kind != MIXED and kind not in types]  # groups of recordings
    return {
        "data": data,
        "description": f"{dataset.sequence_length} points seen, {dataset.prediction_length} to forecast, "
        f"{dataset.sampling_rate:g} Hz, noise {dataset.noise_text}, "
        f"{experiment.evaluation.test_windows} test windows",
        "dataset": to_dict(dataset),
        "test_windows": experiment.evaluation.test_windows,
        "types": types,
        "arms": [_arm(name, repetitions) for name, repetitions in arms.items()],
        "baselines": [
            {"name": scores["name"], "scores": {kind: _values(g) for kind, g in scores["groups"].items()}}
            for scores in baselines
        ],
        "ratios": _ratios(arms, [*types, MIXED]),
    }


def label_of(trial: Trial) -> str:
    """What an arm is called: its configuration, what the grid changed, and whether it is dense."""
    changes = " ".join(f"{key.rpartition('.')[2]}={text}" for key, text in trial.changes.items())
    dense = trial.kind if trial.kind != "MoE" else ""
    return " ".join(part for part in (trial.config, changes, dense) if part)


def _arm(name: str, repetitions: Sequence[TrialResult]) -> Content:
    trial = repetitions[0].trial
    finished = [result for result in repetitions if result.groups is not None]
    kinds = list(finished[0].groups or {}) if finished else []
    return {
        "name": name,
        "label": label_of(trial),
        "kind": trial.kind,
        "config": trial.config,
        "changes": dict(trial.changes),
        "runs": [result.trial.name for result in repetitions],
        "finished": len(finished),
        "planned": len(repetitions),
        "statuses": [result.status for result in repetitions],
        "scores": {kind: _scores([_one_group(result, kind) for result in finished]) for kind in kinds},
        "costs": _costs(trial, finished),
    }


def _one_group(result: TrialResult, kind: str) -> Mapping[str, Any]:
    group: Mapping[str, Any] = (result.groups or {})[kind]
    return group


def _values(group: Mapping[str, Any]) -> dict[str, float | None]:
    """All scalar scores of one group of windows."""
    values: dict[str, float | None] = {**group["metrics"], **{name: group[name] for name in _OWN_FIELDS}}
    distribution = group.get("distribution")
    if distribution is not None:
        values["crps"] = distribution["crps"]
    uncertainty = group.get("uncertainty")
    if uncertainty is not None:
        values["coverage_80"] = uncertainty["coverage"]
    return values


def _scores(groups: Sequence[Mapping[str, Any]]) -> Content:
    """Metric -> estimate over the repetitions."""
    rows = [_values(group) for group in groups]
    result: Content = {}
    for name in rows[0]:
        values = [value for row in rows if (value := row.get(name)) is not None and math.isfinite(value)]
        windows = groups[0].get(_INTERVALS.get(name, "")) if len(groups) == 1 else None
        estimate = mean_over_seeds(values, windows)
        result[name] = None if estimate is None else estimate.to_json()
    return result


def _costs(trial: Trial, finished: Sequence[TrialResult]) -> Content:
    size = model_size(trial.experiment.model)
    length = trial.experiment.dataset.sequence_length
    costs: Content = {
        "total_parameters": size.total_parameters,
        "active_parameters": size.active_parameters,
        "forward_megaflops": size.forward_flops(length) / 1e6,
        "training_windows": training_windows(trial),
        "training_teraflops": training_flops(trial) / 1e12,
    }
    measured = [_measured(result) for result in finished]
    for name in (
        "training_seconds",
        "core_seconds",
        "windows_per_second",
        "milliseconds_per_forecast",
        "peak_memory_mb",
        "peak_gpu_memory_mb",
    ):
        values = [value for each in measured if (value := each[name]) is not None]
        costs[name] = sum(values) / len(values) if values else None
    return costs


def _measured(result: TrialResult) -> dict[str, float | None]:
    """What one training took."""
    sessions = result.costs
    gpu = [s["peak_gpu_memory_mb"] for s in sessions if s["peak_gpu_memory_mb"] is not None]
    return {
        "training_seconds": result.summary.get("elapsed_seconds"),
        "core_seconds": sum(s["core_seconds"] for s in sessions) if sessions else None,
        "windows_per_second": result.summary.get("windows_per_second"),
        "milliseconds_per_forecast": result.outcome.milliseconds_per_forecast if result.outcome else None,
        "peak_memory_mb": max((s["peak_memory_mb"] for s in sessions), default=None),
        "peak_gpu_memory_mb": max(gpu, default=None),
    }


def _ratios(arms: Mapping[str, Sequence[TrialResult]], kinds: Sequence[str]) -> list[Content]:
    """Error of each mixture over that of its dense partner, by pairs of one seed."""
    by_name = {result.trial.name: result for members in arms.values() for result in members}
    found = []
    for name, members in arms.items():
        pairs = [
            (result, by_name[result.trial.partner])
            for result in members
            if result.trial.partner in by_name and result.groups and by_name[result.trial.partner].groups
        ]
        if not pairs:
            continue
        ours, theirs = (model_size(result.trial.experiment.model) for result in pairs[0])
        found.append(
            {
                "moe": name,
                "dense": pairs[0][1].trial.arm,
                "label": label_of(pairs[0][0].trial),
                "active_ratio": ours.active_parameters / theirs.active_parameters,
                "total_ratio": ours.total_parameters / theirs.total_parameters,
                "seeds": [result.trial.seed for result, _ in pairs],
                **{metric: _ratio_by_kind(pairs, kinds, metric) for metric in (POSITION_ERROR, GN)},
            }
        )
    return found


def _ratio_by_kind(
    pairs: Sequence[tuple[TrialResult, TrialResult]], kinds: Sequence[str], metric: str
) -> Content:
    result: Content = {}
    for kind in kinds:
        values = [
            tuple(_values(_one_group(each, kind))[metric] for each in pair)
            for pair in pairs
            if kind in (pair[0].groups or {}) and kind in (pair[1].groups or {})
        ]
        whole = [(a, b) for a, b in values if a and b]  # an error of zero, or none, has no ratio
        estimate = ratio_over_seeds([a for a, _ in whole], [b for _, b in whole])
        result[kind] = None if estimate is None else estimate.to_json()
    return result


def _run(result: TrialResult) -> Content:
    trial, summary, outcome = result.trial, result.summary, result.outcome
    training = trial.experiment.training
    metric = training.best_metric
    return {
        "name": trial.name,
        "arm": trial.arm,
        "seed": trial.seed,
        "status": result.status,
        "reason": "" if outcome is None else outcome.reason,
        "restarts": 0 if outcome is None else outcome.restarts,
        "sessions": len(result.costs),
        "step": result.step,
        "max_steps": training.max_steps,
        **{
            name: summary.get(name)
            for name in ("config_hash", "device", "precision", "git_commit", "machine", "versions", "started")
        },
        **_measured(result),
        "metric": metric,
        "curve": [
            [
                line["step"],
                training_windows(trial, line["step"]),
                line["metrics"].get(metric),
                round(line["elapsed"], 1),
            ]
            for line in result.validations
        ],
    }
