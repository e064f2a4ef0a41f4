"""From errors to exit codes.

0: done (also: interrupted, saved, and resumable); 1: the work failed; 2: the request was wrong;
130: Ctrl-C where there was nothing to save.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_REQUEST_ERRORS = ("ConfigError", "CheckpointError", "ModelNotFoundError", "FileExistsError")
_WORK_ERRORS = (
    "NonFiniteLossError",
    "LostProcessError",
    "TrainingFailedError",
    "ForecastError",
    "IncompleteEvaluationError",
    "StudyFailedError",
    "RecordingError",
    "PruneError",
    "SomeFailedError",
    "ClusterLostError",
)


def run(command: Callable[[], None]) -> int:
    """Run a command; print an expected error as one line instead of a trace.

    Errors are told by class name, so that their modules (and torch with them) need not be imported
    before they are used. An error of any other class is a bug and keeps its trace.
    """
    try:
        command()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads the output has read enough
        _close_pipe()
    except (ValueError, OSError, RuntimeError) as error:  # the bases of the expected classes
        names = [cls.__name__ for cls in type(error).__mro__]
        if any(name in names for name in _REQUEST_ERRORS):
            print(f"error: {error}", file=sys.stderr)
            return 2
        if any(name in names for name in _WORK_ERRORS):
            print(f"error: {error}", file=sys.stderr)
            return 1
        raise
    return 0


def _close_pipe() -> None:
    """After a `BrokenPipeError`: ``... | head`` has read enough; leave nothing to be flushed into it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
