"""What a trial costs its machine: processor time and peak memory, over all sessions that it took."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from m.checkpoint.atomic import write_text_atomic
from m.training import Callback, EvaluationRecord, StartRecord, TrainingStatus

if sys.platform != "win32":  # there costs are of this process alone, and its peak memory is not known
    import resource

COSTS = "study_costs.json"
_KILOBYTE, _MEGABYTE = 1024, 1024**2
_DARWIN_UNIT = 1 if sys.platform == "darwin" else _KILOBYTE  # of ru_maxrss


class CostMeter(Callback):
    """Notes the costs of a run in its folder, at its checkpoints, evaluations and end.

    A session that is killed leaves what it noted last, so little of it is lost. Work that a later session
    repeats is counted again: it was paid for.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / COSTS
        self._earlier: list[dict[str, Any]] = []

    def on_start(self, record: StartRecord) -> None:
        """Find what earlier sessions noted."""
        self._earlier = read_costs(self._path.parent) if record.resumed else []
        self._note()

    def on_evaluation(self, record: EvaluationRecord) -> None:
        """Note."""
        del record
        self._note()

    def on_checkpoint(self, path: Path, step: int) -> None:
        """Note."""
        del path, step
        self._note()

    def on_end(self, status: TrainingStatus) -> None:
        """Note."""
        del status
        self._note()

    def _note(self) -> None:
        session = {
            "core_seconds": round(core_seconds(), 2),
            "peak_memory_mb": round(peak_memory() / _MEGABYTE, 1),
            "peak_gpu_memory_mb": _rounded(peak_gpu_memory()),
        }
        write_text_atomic(self._path, json.dumps({"sessions": [*self._earlier, session]}, indent=1) + "\n")


def _rounded(memory: int | None) -> float | None:
    return None if memory is None else round(memory / _MEGABYTE, 1)


def read_costs(folder: Path) -> list[dict[str, Any]]:
    """Costs of a run's sessions, in their order; empty where none are noted."""
    path = folder / COSTS
    if not path.exists():
        return []
    sessions: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    return sessions


def core_seconds() -> float:
    """Processor time of this process, all threads, and of its data workers that have ended."""
    own = time.process_time()
    if sys.platform == "win32":
        return own
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own + children.ru_utime + children.ru_stime


def peak_memory() -> int:
    """Most memory that this process has had resident, in bytes.

    From the kernel's status file where there is one: the other number also counts what the process was
    before it became this program.
    """
    status = Path(f"/proc/{os.getpid()}/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * _KILOBYTE
    if sys.platform == "win32":
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _DARWIN_UNIT


def peak_gpu_memory() -> int | None:
    """Most memory that torch held on the present GPU, in bytes; None where none was used."""
    import torch  # noqa: PLC0415

    if not torch.cuda.is_available():
        return None
    return int(torch.cuda.max_memory_allocated())
