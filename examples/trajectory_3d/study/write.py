"""The reports of a study, written from what its folder holds; at any time, finished or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from examples.trajectory_3d.figure_style import save_figure
from examples.trajectory_3d.study.collect import read_baselines, read_trial
from examples.trajectory_3d.study.figures import plot_errors_by_type, plot_learning_curves, plot_pareto
from examples.trajectory_3d.study.folder import StudyFolder
from examples.trajectory_3d.study.page import render_page
from examples.trajectory_3d.study.plan import baselines_from_json, trial_from_json
from examples.trajectory_3d.study.summary import summarise
from examples.trajectory_3d.study.text import render_text
from m.checkpoint.atomic import write_text_atomic

REPORT_TEXT, REPORT_JSON, REPORT_PAGE = (f"comparison_report.{suffix}" for suffix in ("txt", "json", "html"))
PICTURES: dict[str, Callable[[dict[str, Any]], Figure]] = {
    "pareto.png": plot_pareto,
    "learning_curves.png": plot_learning_curves,
    "errors_by_type.png": plot_errors_by_type,
}


@dataclass(frozen=True)
class Report:
    """What was written, and the numbers in it.

    Attributes:
        content: as `summary.summarise` returns it.
        paths: text, JSON, page, pictures.
    """

    content: dict[str, Any]
    paths: tuple[Path, ...]


def write_reports(folder: StudyFolder) -> Report:
    """Write ``comparison_report.txt``, ``.json``, ``.html`` and the pictures.

    Raises:
        ConfigError: a file of the study is damaged; names it.
    """
    study, source = folder.read(), str(folder.study)
    results = [read_trial(folder, trial_from_json(each, source)) for each in study["plan"]["trials"]]
    jobs = [baselines_from_json(each, source) for each in study["plan"]["baselines"]]
    content = summarise(study, results, {job.data: read_baselines(folder, job) for job in jobs})
    texts = {
        REPORT_TEXT: render_text(content),
        REPORT_JSON: json.dumps(content, indent=1, allow_nan=False) + "\n",
        REPORT_PAGE: render_page(content),
    }
    for name, text in texts.items():
        write_text_atomic(folder.path / name, text)
    for name, draw in PICTURES.items():
        save_figure(draw(content), folder.path / name)
    return Report(content, tuple(folder.path / name for name in (*texts, *PICTURES)))
