"""Do the experts pay? The mixture against a dense model of equal active parameters, at equal steps."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.forecast_skill.contestants import make_contestant
from benchmarks.forecast_skill.learner import Learner
from benchmarks.forecast_skill.race import judge_learner
from benchmarks.forecast_skill.trial import train_by_steps
from examples.trajectory_3d.config import ExperimentConfig
from examples.trajectory_3d.evaluation import EvaluationSet
from examples.trajectory_3d.windows import evaluation_windows
from m.checkpoint import write_text_atomic
from m.config import to_dict
from m.moe import model_size

RESULTS = "gain.json"
OVERALL = "all"


def measure_gain(
    experiment: ExperimentConfig, steps: int, seeds: Sequence[int], output: Path, device: torch.device
) -> dict[str, Any]:
    """Train both models with every seed; what ``output`` holds already is not done again.

    Args:
        experiment: of the mixture; the dense model differs in ``model.router.kind`` alone.
        steps: optimizer steps of each run, warm-up and decay included.
        seeds: of the weights and of the training's own draws, and of the training stream; the test
            windows are the same for all.
        output: folder of ``gain.json``.
        device: where to train.

    Returns:
        ``setup`` and ``runs``, each with model, seed, seconds, active parameters and scores.

    Raises:
        ValueError: the folder's results are of another set-up, or the experiment is dense itself.
    """
    if experiment.model.router.is_dense:
        raise ValueError("the configuration has no experts to measure; choose another model.router.kind")
    setup = json.loads(json.dumps({"steps": steps, **to_dict(experiment)}))
    path = output / RESULTS
    content: dict[str, Any] = {"setup": setup, "runs": []}
    if path.exists():
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["setup"] != setup:
            raise ValueError(f"{path} holds results of another set-up; choose another folder")
    output.mkdir(parents=True, exist_ok=True)
    windows = evaluation_windows(experiment.dataset, "test", experiment.evaluation.test_windows)
    finished = {(run["model"], run["seed"]) for run in content["runs"]}
    for seed in seeds:
        for name in ("moe", "dense"):
            if (name, seed) not in finished:
                content["runs"].append(
                    _run(name, experiment, seed, steps=steps, windows=windows, device=device)
                )
                write_text_atomic(path, json.dumps(content, indent=1) + "\n")
    return content


def _run(
    name: str,
    experiment: ExperimentConfig,
    seed: int,
    *,
    steps: int,
    windows: EvaluationSet,
    device: torch.device,
) -> dict[str, Any]:
    model = experiment.model
    if name == "dense":
        model = replace(model, router=replace(model.router, kind="dense"))
    seeded = replace(
        experiment,
        model=model,
        training=replace(experiment.training, seed=seed),
        dataset=replace(experiment.dataset, seed=seed),
    )
    learner: Learner = train_by_steps(make_contestant("moe", seeded), steps, device)
    return {
        "model": name,
        "seed": seed,
        "seconds": round(learner.progress.elapsed, 1),
        "active_parameters": model_size(model).active_parameters,
        "scores": asdict(judge_learner(learner, windows)),
    }


def paired_scores(runs: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Scores of the mixture and of the dense model for every seed that both have."""
    by_seed: dict[int, dict[str, dict[str, Any]]] = {}
    for run in runs:
        by_seed.setdefault(run["seed"], {})[run["model"]] = run["scores"]
    return [(each["moe"], each["dense"]) for each in by_seed.values() if len(each) == 2]


def _gn(scores: dict[str, Any], kind: str) -> float:
    return float(scores["gn"] if kind == OVERALL else scores["gn_by_type"][kind])


def gains(runs: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Error of the mixture over that of the dense model with the same seed, by motion type and overall.

    Returns:
        One ratio of gn a seed, for `OVERALL` and every type; empty before a seed has both models.
    """
    pairs = paired_scores(runs)
    kinds = [OVERALL, *pairs[0][0]["gn_by_type"]] if pairs else []
    return {kind: [_gn(moe, kind) / _gn(dense, kind) for moe, dense in pairs] for kind in kinds}


def print_gain(content: dict[str, Any], console: Console | None = None) -> None:
    """Print means over seeds of both models, and their ratios."""
    pairs = paired_scores(content["runs"])
    table = Table(title=f"gn after {content['setup']['steps']} steps, mean over {len(pairs)} seeds")
    for heading in ("motion", "MoE", "dense", "MoE / dense", "of each seed"):
        table.add_column(heading, justify="left" if heading == "motion" else "right")
    for kind, ratios in gains(content["runs"]).items():
        means = (statistics.fmean(_gn(scores, kind) for scores in side) for side in zip(*pairs, strict=True))
        each = " ".join(f"{ratio:.3f}" for ratio in ratios)
        table.add_row(kind, *(f"{mean:.4f}" for mean in means), f"{statistics.fmean(ratios):.3f}", each)
    (console or Console()).print(table)
