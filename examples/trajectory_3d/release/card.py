"""``card.json``: everything that is known about a shipped model, as plain content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from examples.trajectory_3d.baselines import make_baselines
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.evaluation import EvaluationSet, evaluate, forecast_all
from examples.trajectory_3d.evaluation_report import to_json
from examples.trajectory_3d.metrics import position_error
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.release.conditions import measure_conditions
from examples.trajectory_3d.run_folder import SUMMARY, environment, now
from examples.trajectory_3d.training_summary import describe_model
from examples.trajectory_3d.weights import DEFAULT_NAME
from examples.trajectory_3d.windows import evaluation_windows
from m.config import read_yaml, to_dict
from m.moe import MoESequenceRegressor

CARD_FORMAT = "trajectory_3d.model_card"
CARD_VERSION = 1
CHECK_WINDOWS = 500  # what a test forecasts again to see that the shipped file is the one described
CONDITION_WINDOWS = 500
_BATCH = 250


def make_card(
    *,
    before: MoESequenceRegressor,
    shipped: MoESequenceRegressor,
    experiment: ExperimentConfig,
    weights: Path,
    dtype: str,
    step: int,
    run: Path,
    windows: int,
    baselines: Sequence[str] = ("all",),
    name: str = DEFAULT_NAME,
) -> dict[str, Any]:
    """Measure a release and describe it.

    Args:
        before: the model as it was trained.
        shipped: the model as loaded from the release, with rounded weights; all figures are its own.
        experiment: what the run was.
        weights: the release's weights file.
        dtype: in which its matrices are stored.
        step: optimizer steps behind the weights.
        run: the run's folder, whose summary says how long it took.
        windows: of the test stream, for the main figures.
        baselines: classical forecasters to stand beside, as `make_baselines` takes them.
        name: under which the model is registered for `m.load`, and called in the card.

    Returns:
        Plain content: format, version, created, weights, model, training, dataset, evaluation (see
        `evaluation_report.to_json`), check, rounding, conditions, environment.
    """
    dataset, classical = experiment.dataset, make_baselines(baselines)
    test = evaluation_windows(dataset, "test", windows)
    result = evaluate(
        [ModelForecaster(shipped, name), *classical],
        test,
        batch_size=experiment.evaluation.batch_size,
    )
    return {
        "format": CARD_FORMAT,
        "version": CARD_VERSION,
        "created": now(),
        "weights": {
            "file": weights.name,
            "dtype": dtype,
            "bytes": weights.stat().st_size,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        },
        "model": describe_model(shipped.config, dataset.sequence_length),
        "training": _training(experiment, step, run),
        "dataset": to_dict(dataset),
        "evaluation": to_json(result),
        "check": check_figures(shipped, test, min(windows, CHECK_WINDOWS)),
        "rounding": _rounding(before, shipped, test),
        "conditions": measure_conditions(shipped, classical, dataset, min(windows, CONDITION_WINDOWS)),
        "environment": {
            # Without the command, which may hold paths of the machine that built the release.
            name: value
            for name, value in environment().items()
            if name != "command"
        },
    }


def check_figures(model: MoESequenceRegressor, test: EvaluationSet, count: int) -> dict[str, Any]:
    """Figures of the first ``count`` test windows, simple enough to be computed again by other means.

    Returns:
        ``windows``; ``position_error``: mean over windows and steps in metres, by motion type;
        ``gn``: see `examples.trajectory_3d.skill`, by motion type.
    """
    first = EvaluationSet(
        context=test.context[:count],
        targets=test.targets[:count],
        type_ids=test.type_ids[:count],
        type_names=test.type_names,
        dt=test.dt,
    )
    groups = evaluate([ModelForecaster(model, DEFAULT_NAME)], first).forecasters[0].groups
    return {
        "windows": count,
        "position_error": {name: scores.metrics["position_error"] for name, scores in groups.items()},
        "gn": {name: scores.skill.gn for name, scores in groups.items()},
    }


def _training(experiment: ExperimentConfig, step: int, run: Path) -> dict[str, Any]:
    """Steps, settings, and what the run's own summary adds where there is one."""
    summary = read_yaml(run / SUMMARY) if (run / SUMMARY).is_file() else {}
    facts = ("elapsed_seconds", "windows_per_second", "device", "precision", "git_commit", "config_hash")
    return {
        "run": experiment.name,
        "steps": step,
        "windows_seen": step * experiment.training.batch_size * experiment.training.accumulation_steps,
        "seed": experiment.training.seed,
        "settings": to_dict(experiment.training),
        **{name: summary[name] for name in facts if summary.get(name) is not None},
    }


def _rounding(
    before: MoESequenceRegressor, shipped: MoESequenceRegressor, test: EvaluationSet
) -> dict[str, float]:
    """What half precision costs on the test windows: mean position errors in metres, and the difference."""
    trained, rounded = (
        forecast_all(ModelForecaster(model, DEFAULT_NAME), test, _BATCH).mean for model in (before, shipped)
    )
    errors = [float(position_error(mean, test.targets).mean()) for mean in (trained, rounded)]
    return {
        "position_error_as_trained": errors[0],
        "position_error_as_shipped": errors[1],
        "mean_difference": float(position_error(rounded, trained).mean()),
    }
