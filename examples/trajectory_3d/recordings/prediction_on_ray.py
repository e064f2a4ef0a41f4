"""The files of a prediction as tasks of a Ray cluster; a task starts again when its worker dies."""

from __future__ import annotations

import contextlib
import sys
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

from examples.trajectory_3d.recordings.prediction import FilePrediction, PredictionJob, predict_file
from examples.trajectory_3d.recordings.prediction_parts import from_bytes, to_bytes
from examples.trajectory_3d.study.devices import usable_cores
from m.checkpoint import CheckpointError
from m.config import ConfigError
from m.ray_cluster import connect, head_answers, reason_of

_RETRIES = 3  # of a task whose worker died: a file that kills its worker every time must not do so for ever
_AHEAD = 4  # tasks waiting for each that can run: enough that no worker is idle, few enough to hold in memory
_POLL_SECONDS = 1.0


class ClusterLostError(RuntimeError):
    """The Ray cluster went away in the middle of the work."""


def predict_task(path: str, job: PredictionJob) -> bytes:
    """`predict_file` in a Ray worker, whose process keeps the model for its next file."""
    return to_bytes(predict_file(path, job))


def predict_on_ray(
    paths: Sequence[str], job: PredictionJob, address: str
) -> Generator[tuple[str, FilePrediction, bytes | None]]:
    """Do the job with every file on a cluster; each result as soon as it is there, in any order.

    A task has one core, and a GPU where the job asks for CUDA. A file whose worker died every time, or whose
    task ended in an error that nobody foresaw, is a result with that error; the others go on.

    Args:
        paths: as all machines of the cluster see them.
        job: what to do; the model's path is as all machines see it too.
        address: as `m.ray_cluster.connect` takes it.

    Raises:
        ConfigError: the model cannot be used, Ray is not installed, or no cluster is there.
        CheckpointError: the model cannot be loaded.
        ClusterLostError: the cluster went away.
    """
    ray = connect(address, cores=usable_cores())
    try:
        # Ray tells of dead workers on standard output, which is for results.
        with contextlib.redirect_stdout(sys.stderr):
            yield from _work(ray, paths, job, watched=not address.startswith("ray://"))
    except (ConnectionError, ray.exceptions.RaySystemError, ray.exceptions.LocalRayletDiedError) as error:
        # No shutdown: Ray would wait for the head, and then end this process before anything is said.
        raise ClusterLostError(
            f"--ray {address}: the Ray cluster went away ({_first_line(error)}); start it again, or leave "
            "--ray out, and repeat the command"
        ) from error
    except BaseException:
        ray.shutdown()
        raise
    ray.shutdown()


def _work(
    ray: Any, paths: Sequence[str], job: PredictionJob, *, watched: bool
) -> Generator[tuple[str, FilePrediction, bytes | None]]:
    gpus = 1 if job.device.startswith("cuda") else 0
    task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=_RETRIES)(predict_task)
    shared = ray.put(job)
    waiting = deque(paths)
    running: dict[Any, str] = {}
    most = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))
    while waiting or running:
        while waiting and len(running) < most:
            path = waiting.popleft()
            running[task.remote(path, shared)] = path
        ready, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
        if watched and not head_answers(ray):
            raise ConnectionError("its head does not answer any more")
        for reference in ready:
            yield _result(ray, reference, running.pop(reference))


def _result(ray: Any, reference: Any, path: str) -> tuple[str, FilePrediction, bytes | None]:
    try:
        content: bytes = ray.get(reference)
    except (ray.exceptions.RaySystemError, ray.exceptions.LocalRayletDiedError):
        raise
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, ConfigError | CheckpointError):  # of the model: no file will fare better
            raise cause from None
        return path, FilePrediction(path=path, error=f"{path}: {reason_of(error)}"), None
    return path, from_bytes(content), content


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
