"""Sessions: a path that grows, forecast again and again without reading its past anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from m.arrays import Array
from m.generation.errors import TooManySessionsError, UnknownSessionError

DEFAULT_MOST_DRIFT = 6.0
DEFAULT_MOST_POINTS = 512


class Past(Protocol):
    """What has been read of a session's points, whatever read them."""

    def drift(self, points: Array) -> float:
        """How far new points ``[T, D]`` lie from the anchoring ones, in their standard deviations."""
        ...


@dataclass(frozen=True)
class SessionPush:
    """Where a request's points belong.

    Attributes:
        id: of the session.
        start: begin it with these points, and forget one of the same name.
        end: forget it when these points have been read.
        hold_points: how many points the session may go on with one anchor, from now on; None for what it was.
            0, which it is at the start, takes a new anchor with every push: the forecast is that of the whole
            context, as good as the model can. More saves reading the past anew, at the cost of accuracy.
    """

    id: str
    start: bool = False
    end: bool = False
    hold_points: int | None = None


@dataclass(frozen=True)
class SessionState:
    """Where a session stands after a push.

    The forecast equals `MoESequenceRegressor.forecast` of the last ``context_points`` points that were
    pushed, with ``anchor_points``.

    Attributes:
        id: of the session.
        points: pushed so far.
        context_points: of them, those the forecast was made from.
        anchor_points: of these, the first so many it is normalised by.
        reanchored: whether this push made it read its last points anew, by a new anchor.
        ended: whether it was forgotten with this push.
    """

    id: str
    points: int
    context_points: int
    anchor_points: int
    reanchored: bool
    ended: bool


@dataclass(frozen=True)
class Session:
    """One growing path.

    Attributes:
        state: after the last push.
        context: its points ``[T, D]``, float64, since the last anchor was taken and before.
        past: what has been read of them: all; None where it will be read anew anyway.
        hold_points: that it may go on with one anchor.
        used: when it was pushed to last, on the clock of the store.
    """

    state: SessionState
    context: Array
    past: Past | None
    hold_points: int
    used: float


@dataclass(frozen=True)
class Continuation:
    """What a push has to read.

    Attributes:
        points: ``[T, D]``: the new ones, or all of a new context.
        anchored: the first so many of a new context that it is normalised by.
        past: what they continue; None when a new context begins.
        before: the session so far; None when it begins.
        context: all points of the context with the new ones.
        pushed: how many were pushed.
        hold_points: that may follow before a new anchor is taken; above 0 the past is wanted for them.
    """

    points: Array
    anchored: int
    past: Past | None
    before: Session | None
    context: Array
    pushed: int
    hold_points: int


class SessionStore:
    """Open sessions. Belongs to the engine's thread.

    Args:
        most: open at once. A new one takes the place of the one that has rested longest, if it has rested
            ``idle_seconds``; else it is refused.
        idle_seconds: without a push, after which a session is forgotten.
        most_points: of a context that grew by pushes; one that would be longer is made from the last ones.
        most_drift: standard deviations of the anchoring points that a new point may lie from them, root mean
            square over the channels; beyond, the session takes a new anchor, from its last points.
        clock: seconds.
    """

    def __init__(
        self,
        *,
        most: int = 256,
        idle_seconds: float = 600.0,
        most_points: int = DEFAULT_MOST_POINTS,
        most_drift: float = DEFAULT_MOST_DRIFT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if most < 1 or most_points < 2:
            raise ValueError(
                f"most must be at least 1 and most_points at least 2, got {most} and {most_points}"
            )
        if not idle_seconds > 0 or not most_drift > 0:
            raise ValueError(
                f"idle_seconds and most_drift must be above 0, got {idle_seconds} and {most_drift}"
            )
        self._most, self._idle, self._clock = most, idle_seconds, clock
        self._most_points, self._most_drift = most_points, most_drift
        self._sessions: dict[str, Session] = {}  # least recently used first
        self.reanchored = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __contains__(self, name: str) -> bool:
        return name in self._sessions

    def continuation(
        self, push: SessionPush, points: Array, anchored: int, *, beginning: int = 0
    ) -> Continuation:
        """What a push has to read; changes nothing but forgetting those who rested too long.

        Args:
            push: where the points belong.
            points: new ones, ``[T, D]`` float64.
            anchored: the first so many, where the session begins with them.
            beginning: sessions whose first points are to be read at the same time.

        Raises:
            UnknownSessionError: no such session, and the push does not begin one.
            TooManySessionsError: there is no room for another one.
        """
        self.forget_idle()
        if push.start:
            if push.id not in self._sessions and len(self._sessions) + beginning >= self._most:
                raise TooManySessionsError(
                    f"{len(self._sessions)} sessions are open and in use, as many as may; "
                    "end one, or try again later"
                )
            return Continuation(points, anchored, None, None, points, len(points), _hold(push, None))
        before = self._sessions.get(push.id)
        if before is None:
            raise UnknownSessionError(
                f"no session '{push.id}' is open: it has not been started, has ended, or was forgotten after "
                f"{self._idle:g} s without a push; start it with its last points"
            )
        context = np.concatenate((before.context, points))
        hold = _hold(push, before)
        if before.past is not None and self._may_hold(before, before.past, points, hold):
            anchored = before.state.anchor_points
            return Continuation(points, anchored, before.past, before, context, len(points), hold)
        kept = context[-self._kept(len(points), hold) :]
        return Continuation(kept, len(kept), None, before, kept, len(points), hold)

    def commit(self, push: SessionPush, what: Continuation, past: Past | None) -> SessionState:
        """Remember that a continuation has been read."""
        before = what.before
        reanchored = before is not None and what.past is None
        state = SessionState(
            id=push.id,
            points=what.pushed + (before.state.points if before is not None else 0),
            context_points=len(what.context),
            anchor_points=what.anchored,
            reanchored=reanchored,
            ended=push.end,
        )
        self.reanchored += reanchored
        self._sessions.pop(push.id, None)
        if not push.end:
            context = what.context
            if len(context) > self._most_points:  # opened with more: the next push reads the last ones anew
                context = context[-self._most_points :].copy()
            self._sessions[push.id] = Session(state, context, past, what.hold_points, self._clock())
        return state

    def forget(self, name: str) -> None:
        """Forget a session, if it is open."""
        self._sessions.pop(name, None)

    def may_continue(self, what: Continuation) -> bool:
        """Whether the next push could go on from what is read now, with the same anchor."""
        return what.hold_points > 0 and len(what.context) < self._most_points

    def _may_hold(self, before: Session, past: Past, points: Array, hold: int) -> bool:
        """Whether a session goes on with its anchor."""
        length = len(before.context) + len(points)
        if length > self._most_points or length - before.state.anchor_points > hold:
            return False
        return past.drift(points) <= self._most_drift

    def _kept(self, pushed: int, hold: int) -> int:
        """Points that a new context keeps: all there may be, or half where more are to follow it."""
        most = self._most_points
        return most if hold == 0 else max(most // 2, min(pushed, most))

    def forget_idle(self) -> None:
        """Forget sessions that rested too long."""
        now = self._clock()
        for name, session in list(self._sessions.items()):
            if now - session.used <= self._idle:
                break
            del self._sessions[name]


def _hold(push: SessionPush, before: Session | None) -> int:
    """Points that a session may go on with one anchor."""
    if push.hold_points is not None:
        return push.hold_points
    return 0 if before is None else before.hold_points
