"""How the cores and GPUs of this machine are shared out among workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from m.config import ConfigError


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_gpus() -> list[str]:
    """GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch  # noqa: PLC0415

    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if listed is not None:
        return [name.strip() for name in listed.split(",") if name.strip()][:count]
    return [str(number) for number in range(count)]


def device_kind(name: str) -> str:
    """``cpu`` or ``cuda``, of what ``--device`` says.

    Raises:
        ConfigError: no such device here, or one GPU of several, which a study shares out itself.
    """
    if name not in {"auto", "cpu", "cuda"}:
        raise ConfigError(
            f"--device {name}: a study takes auto, cpu or cuda, and shares the GPUs out; to keep it to "
            "some of them set CUDA_VISIBLE_DEVICES"
        )
    gpus = usable_gpus() if name != "cpu" else []
    if name == "cuda" and not gpus:
        raise ConfigError("--device cuda: there is no GPU that torch can use; try auto")
    return "cuda" if gpus else "cpu"


def default_parallel(device: str, jobs: int) -> int:
    """Workers at once when the user names no number: one a GPU, else one for every two cores."""
    wanted = len(usable_gpus()) if device == "cuda" else usable_cores() // 2
    return max(1, min(wanted, jobs))


def worker_environment(threads: int, gpu: str | None) -> dict[str, str]:
    """Environment of a worker process.

    Args:
        threads: of every library that has its own.
        gpu: the one it may use; None for none.
    """
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": gpu or "", "PYTHONUNBUFFERED": "1"}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = str(threads)
    root = Path(__file__).parents[3]  # where this package is imported from, when that is no installation
    if root.name not in {"site-packages", "dist-packages"}:
        earlier = os.environ.get("PYTHONPATH")
        environment["PYTHONPATH"] = str(root) if not earlier else os.pathsep.join((str(root), earlier))
    return environment


def worker_command(*arguments: str) -> list[str]:
    """Command line of a worker process."""
    return [sys.executable, "-m", "examples.trajectory_3d.study.worker", *arguments]
