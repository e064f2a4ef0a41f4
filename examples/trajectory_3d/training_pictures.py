"""Pictures written through a run: progress curves, and current forecasts of one window of each type."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from examples.trajectory_3d.evaluation import MIXED, EvaluationSet
from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.model_forecaster import ModelForecaster
from examples.trajectory_3d.result_figures import plot_training_progress
from examples.trajectory_3d.run_folder import LOG, PICTURES, PROGRESS_PICTURE
from examples.trajectory_3d.visualization import plot_prediction_grid
from m.moe import MoESequenceRegressor
from m.training import Callback, EvaluationRecord, TrainingStatus, read_jsonl


class PictureWriter(Callback):
    """Draws ``training_progress.png`` and ``visualizations/prediction_step_*.png`` at each evaluation.

    The same windows are forecast every time, the first of each type, so that pictures of different
    steps compare.

    Args:
        model: being trained; its present weights forecast.
        name: of the run, for titles.
        windows: validation windows to take one of each type from.
        folder: of the run.
    """

    def __init__(self, model: MoESequenceRegressor, name: str, windows: EvaluationSet, folder: Path) -> None:
        self._forecaster = ModelForecaster(model, name)
        self._folder = folder
        firsts = {group: members[0] for group, members in windows.groups().items() if group != MIXED}
        chosen = np.array(list(firsts.values()))
        self._labels = list(firsts)
        self._context, self._targets = windows.context[chosen], windows.targets[chosen]
        self._dt, self._unit = windows.dt, windows.unit

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Draw both."""
        forecast = self._forecaster.forecast(self._context, self._targets.shape[1])
        figure = plot_prediction_grid(
            self._context,
            self._targets,
            forecast,
            dt=self._dt,
            labels=self._labels,
            title=f"{self._forecaster.name}: forecasts after step {record.step}",
            unit=self._unit,
        )
        pictures = self._folder / PICTURES
        pictures.mkdir(exist_ok=True)
        save_figure(figure, pictures / f"prediction_step_{record.step:06d}.png")
        self._draw_progress()

    def on_end(self, status: TrainingStatus) -> None:
        """Draw the progress to the last step."""
        del status
        self._draw_progress()

    def _draw_progress(self) -> None:
        lines = read_jsonl(self._folder / LOG)
        history = [line for line in lines if line["event"] in ("step", "evaluation")]
        if history:
            save_figure(plot_training_progress(history, self._unit), self._folder / PROGRESS_PICTURE)
