"""Studies from plan to report: many configurations trained, judged on the same windows, and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from examples.trajectory_3d.baselines import make_baselines
from examples.trajectory_3d.run_folder import OUTPUT_ROOT
from examples.trajectory_3d.study.board import Board
from examples.trajectory_3d.study.devices import default_parallel, usable_cores, usable_gpus
from examples.trajectory_3d.study.estimate import estimate_lines
from examples.trajectory_3d.study.folder import StudyFolder
from examples.trajectory_3d.study.plan import StudyPlan
from examples.trajectory_3d.study.pool import LocalPool
from examples.trajectory_3d.study.ray_pool import RayPool
from examples.trajectory_3d.study.referee import import_optuna
from examples.trajectory_3d.study.write import write_reports
from examples.trajectory_3d.training import check_best_metric
from examples.trajectory_3d.windows import evaluation_windows
from m.config import ConfigError
from m.moe import model_size
from m.ray_cluster import LOCAL, import_ray

COMPARISON_STUDY = "comparison_study"


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a study is run; none of it changes a result, but ``threads`` in the last bits.

    Attributes:
        parallel: jobs at once; None takes one a GPU, else one for every two cores.
        threads: cores of each; None shares the machine's out.
        retries: how often a trial is started again after its worker died.
        ray: address of a Ray cluster, ``local`` to start one, None for plain processes.
    """

    parallel: int | None = None
    threads: int | None = None
    retries: int = 2
    ray: str | None = None


class StudyFailedError(RuntimeError):
    """Some trials of a study failed; the others are done and reported on."""


def check_plan(plan: StudyPlan) -> None:
    """Refuse a plan that cannot be carried out, before any of it is.

    Raises:
        ConfigError: an unknown router, motion type, motion option, metric or baseline; names the trial.
    """
    judged: set[str] = set()
    for trial in plan.trials:
        try:
            model_size(trial.experiment.model)
            check_best_metric(trial.experiment)
            if trial.data not in judged:
                evaluation_windows(trial.experiment.dataset, "validation", 1)
                judged.add(trial.data)
        except ValueError as error:
            raise ConfigError(f"{trial.name}: {error}") from error
    try:
        for job in plan.baselines:
            make_baselines(job.baselines)
    except ValueError as error:
        raise ConfigError(f"--baselines: {error}") from error


def plan_lines(plan: StudyPlan, running: Running) -> list[str]:
    """What a study would train and cost here, in words; nothing is run.

    Raises:
        ConfigError: see `check_plan`.
    """
    check_plan(plan)
    parallel, threads = _shares(plan, running)
    return estimate_lines(plan.trials, threads, parallel)


def _shares(plan: StudyPlan, running: Running) -> tuple[int, int]:
    """Jobs at once, and threads of each."""
    parallel = running.parallel or default_parallel(plan.device, len(plan.trials) + len(plan.baselines))
    return parallel, running.threads or max(1, usable_cores() // parallel)


def run_study(
    plan: StudyPlan,
    path: Path = OUTPUT_ROOT / COMPARISON_STUDY,
    *,
    running: Running = Running(),
    say: Callable[[str], None] = print,
) -> bool:
    """Carry a study out, or what is left of it, and write its reports.

    Args:
        plan: what to do; see `study.plan.make_plan`.
        path: folder of the study.
        running: how.
        say: prints a line.

    Returns:
        Whether it is complete; False when a signal stopped it, and the same call goes on with it.

    Raises:
        ConfigError: the plan is refused, an extra is not installed, or the folder holds another study;
            nothing was run.
        StudyFailedError: a trial failed; the others were done first.
    """
    check_plan(plan)
    if plan.early_stop is not None:
        import_optuna()
    if running.ray is not None:
        import_ray()
    folder = StudyFolder(path.absolute())
    with folder.alone():
        parallel, threads = _shares(plan, running)
        resumed = folder.begin(plan, threads)
        threads = int(folder.read()["threads_per_trial"])
        if running.threads not in {None, threads}:
            say(f"note: this study was begun with {threads} threads a trial, and goes on with as many")
        board = Board(folder, plan, say)
        waiting = board.open_jobs()
        if resumed:
            say(f"Going on with the study in {path}: {board.ended} of {board.total} jobs are done.")
        at_once = running.parallel if running.ray not in {None, LOCAL} else parallel
        for line in estimate_lines([t for t in plan.trials if t.name in waiting], threads, at_once):
            say(line)
        complete = _pool(board, plan, running, at_once, threads).run(waiting) if waiting else True
        report = write_reports(folder)
    say(f"Report: {path / report.paths[0].name}, and as .json, .html and pictures beside it")
    failed = board.failed()
    if not complete:
        say(f"Stopped: {board.ended} of {board.total} jobs are done. Go on with the same command.")
    elif failed:
        raise StudyFailedError(
            f"{len(failed)} of {board.total} jobs failed: {', '.join(failed)}. Their reasons are in "
            f"{path / report.paths[0].name}; the same command tries them again"
        )
    return complete


def _pool(
    board: Board, plan: StudyPlan, running: Running, parallel: int | None, threads: int
) -> LocalPool | RayPool:
    if running.ray is not None:
        return RayPool(
            board,
            address=running.ray,
            parallel=parallel,
            threads=threads,
            device=plan.device,
            retries=running.retries,
        )
    return LocalPool(
        board,
        parallel=parallel or 1,
        threads=threads,
        device=plan.device,
        gpus=usable_gpus() if plan.device == "cuda" else [],
        retries=running.retries,
    )
