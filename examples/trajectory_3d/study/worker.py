"""A worker process: ``python -m examples.trajectory_3d.study.worker FOLDER NAME DEVICE THREADS``.

It speaks with its parent in lines of JSON: what it has to say goes to the pipe that was its standard output,
each answer comes from its standard input. All that is printed goes to standard error, which the parent has
turned into a log.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import sys
import threading
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from examples.trajectory_3d.study.folder import StudyFolder

GO, STOP = "go", "stop"
EXIT_DONE, EXIT_INTERRUPTED, EXIT_REFUSED = 0, 4, 5
_PR_SET_PDEATHSIG = 1
_EXIT_ORPHANED = 6


class Line:
    """The line to the parent. When the parent is gone, this process ends at once.

    What was saved is whole, and a worker that lived on would write into a folder that another session of the
    study may already be working in.
    """

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        self._answers: queue.Queue[str] = queue.Queue()
        _die_with_parent()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, kind: str, **content: Any) -> None:
        """Send a message."""
        self._out.write(json.dumps({"kind": kind, **content}) + "\n")
        self._out.flush()

    def judge(self, step: int, value: float) -> bool:
        """Report an evaluation and wait for the answer, whether to go on."""
        self.say("evaluation", step=step, value=value)
        return self._answers.get() != STOP

    def _listen(self) -> None:
        for text in sys.stdin:
            self._answers.put(text.strip())
        os._exit(_EXIT_ORPHANED)


def _die_with_parent() -> None:
    """Ask the kernel for a SIGKILL when the parent ends, where it can be asked; else the pipe tells."""
    parent = os.getppid()
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended meanwhile
        os._exit(_EXIT_ORPHANED)


def main(argv: list[str]) -> int:
    """Do the job that the arguments name; the exit code tells the parent how it went."""
    folder, name, device, threads = argv
    line = Line()
    # Imported here: torch takes seconds, in which a parent may die.
    from examples.trajectory_3d.study.trial_run import (  # noqa: PLC0415
        LASTING_ERRORS,
        InterruptedTrialError,
        run_job,
    )

    try:
        outcome = run_job(
            StudyFolder(Path(folder)), name, device=device, threads=int(threads), judge=line.judge
        )
    except InterruptedTrialError as interrupt:
        print(interrupt, file=sys.stderr)
        return EXIT_INTERRUPTED
    except LASTING_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        line.say("refused", reason=f"{type(error).__name__}: {error}")
        return EXIT_REFUSED
    except Exception as error:  # the process ends with it: whatever it is, the study must hear why
        traceback.print_exc()
        line.say("died", reason=f"{type(error).__name__}: {error}")
        return 1
    line.say("outcome", **asdict(outcome))
    return EXIT_DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
