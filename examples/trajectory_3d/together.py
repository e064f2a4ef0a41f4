"""What commands do when several processes train together: start them, and go on after a loss."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from m.training.sharded_states import SHARDED_NAME

if TYPE_CHECKING:
    from m.parallel import World

_MODULE = "examples.trajectory_3d.training"
_STARTED_BY = ".started_by"  # in a run's folder: the launch that began it


class TrainingFailedError(RuntimeError):
    """The processes of a training did not reach its end."""


def launch(arguments: Sequence[str], *, processes: int, restarts: int) -> None:
    """Run the training command in several processes of this machine, by PyTorch's own launcher.

    When one of them dies, all are started again and go on from the last state, ``restarts`` times at most.

    Args:
        arguments: of the command.
        processes: how many.
        restarts: see above.

    Raises:
        TrainingFailedError: it ended early all the same, or was told to.
    """
    from torch.distributed import run  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    options = ["--standalone", f"--nproc-per-node={processes}", f"--max-restarts={restarts}"]
    try:
        run.main([*options, "-m", _MODULE, *arguments])
    except SignalException as error:
        raise TrainingFailedError("stopped; go on with the same command and --resume") from error
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise TrainingFailedError(
            f"process {rank} ended with exit code {failure.exitcode}, after {restarts} restarts; what it "
            "said is above. Go on with the same command and --resume"
        ) from error


def taken_up(folder: Path, world: World) -> bool:
    """Whether this start of the processes goes on with what the same launch began before it lost one.

    A folder that it began, but where nothing was saved yet, is emptied and begun again.
    """
    return world.from_main(world.is_main and _taken_up(folder))


def _taken_up(folder: Path) -> bool:
    mark = folder / _STARTED_BY
    if os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0" or not mark.is_file():
        return False
    if mark.read_text(encoding="utf-8") != _launch_identity():
        return False  # a run of before: the command that may not touch it may not do so when started again
    if (folder / SHARDED_NAME).is_dir() and any((folder / SHARDED_NAME).glob("step-*")):
        return True
    shutil.rmtree(folder)
    return False


def note_launch(folder: Path) -> None:
    """Write down which launch began the run."""
    (folder / _STARTED_BY).write_text(_launch_identity(), encoding="utf-8")


def _launch_identity() -> str:
    """Of the launcher: its run id or, where none was given, its process, which stays."""
    run = os.environ.get("TORCHELASTIC_RUN_ID", "none")
    return run if run != "none" else f"{socket.gethostname()}:{os.getppid()}"
