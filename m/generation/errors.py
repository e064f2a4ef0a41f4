"""Why a request was not answered."""

from __future__ import annotations


class QueueFullError(RuntimeError):
    """As many requests wait as may; try again later."""


class DeadlineExceededError(TimeoutError):
    """The answer was not ready by the request's deadline."""


class EngineStoppedError(RuntimeError):
    """The engine takes no requests: it is closing, or its worker has failed."""


class UnknownSessionError(LookupError):
    """No session of that name is open: it was never started, has ended, or was forgotten."""


class TooManySessionsError(RuntimeError):
    """As many sessions are open and in use as may be; try again later."""


# What one request can bring about: too much memory (torch says RuntimeError), numbers that no arithmetic or
# sampling takes. Anything else is a bug of ours, and ends the worker, which tells everybody.
OF_ONE_REQUEST = (RuntimeError, MemoryError, ValueError, ArithmeticError, UnknownSessionError)
