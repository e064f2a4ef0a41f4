"""The folder of an evaluation: where it is, that it can be written, and that it holds one evaluation only."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from examples.trajectory_3d.config import ExperimentConfig, experiment_to_judge
from examples.trajectory_3d.motions import motion_names
from examples.trajectory_3d.report.page import REPORT
from examples.trajectory_3d.run_folder import CONFIG, EVALUATION, OUTPUT_ROOT, config_hash, file_part
from examples.trajectory_3d.trained_model import TrainedModel
from m.config import ConfigError, load_config, to_dict

SUMMARY_TEXT = "evaluation_summary.txt"
METRICS_JSON = "metrics.json"
CLASSICAL = "classical"  # folder of evaluations without a model, below the outputs
RELEASED = "released"  # of shipped models, whose own folder may be part of an installation
PREDICTION = "prediction"
PICTURES = (
    "metrics_comparison",
    "error_per_step",
    "coverage_per_step",
    "rank_histogram",
    "trajectory_analysis_dashboard",
    "expert_specialisation",
    "expert_worth",
)


def default_folder(path: Path, trained: TrainedModel, experiment: ExperimentConfig) -> Path:
    """``evaluation/`` beside the checkpoint; for other data than the run's own, a folder named by it.

    So a trial on noisier data never replaces the evaluation that others quote.
    """
    dataset = to_dict(experiment.dataset)
    if trained.is_release:
        folder = OUTPUT_ROOT / RELEASED / trained.name / EVALUATION
        own = _complete(trained.dataset) == dataset
    else:
        folder, own = path.parent / EVALUATION, _is_own_data(path.parent / CONFIG, dataset)
    return folder if own else folder.with_name(f"{EVALUATION}_{config_hash(dataset)}")


def classical_folder(experiment: ExperimentConfig) -> Path:
    """Folder of an evaluation without a model, named by the data."""
    return OUTPUT_ROOT / CLASSICAL / config_hash(to_dict(experiment.dataset))


def make_writable(folder: Path) -> Path:
    """Make the folder and try to write into it: before the work, not after it.

    Raises:
        ConfigError: results cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"results cannot be written to {folder} ({error.strerror}); choose another folder with --output"
        ) from error
    return folder


def remove_earlier(folder: Path, type_names: Iterable[str]) -> None:
    """Remove the pictures and the page of an earlier evaluation, which the new one may not have.

    Only files of the very names that evaluations write; scores are left, since they are replaced at once.

    Args:
        folder: of the evaluation.
        type_names: motion types whose pictures may lie there, beside those that are registered.

    Raises:
        OSError: the file system refused.
    """
    kinds = {*motion_names(), *map(file_part, type_names), "grid"}
    names = [REPORT, *(f"{name}.png" for name in PICTURES), *(f"{PREDICTION}_{kind}.png" for kind in kinds)]
    for name in names:
        if (folder / name).is_file():
            (folder / name).unlink()


def _complete(dataset: Mapping[str, Any] | None) -> dict[str, object] | None:
    """Settings of data with those that are newer than the release at their defaults."""
    if dataset is None:
        return None
    try:
        return to_dict(experiment_to_judge({"dataset": dataset}, (), "release").dataset)
    except ConfigError:  # of another version; then any data is other data
        return None


def _is_own_data(config: Path, dataset: dict[str, object]) -> bool:
    """Whether the run's configuration has this data; a run without one is taken at the user's word."""
    if not config.exists():
        return True
    try:
        return to_dict(load_config(ExperimentConfig, config).dataset) == dataset
    except ConfigError:  # whoever names another configuration need not mend the run's own
        return False
