"""When the next sync is due: many hooks make one, a failure is tried again, and it comes in any case after a while.

Nothing here knows what is run, or what time it is: both are given.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal


@dataclass(frozen=True)
class Timing:
    """Seconds."""

    every: float = 900.0  # a sync at least this often: the longest that a lost hook can cost
    quiet: float = 2.0  # since the last hook: an annotator submits every few seconds, a script many times a second
    longest: float = 30.0  # since the first hook, however many follow
    first_retry: float = 5.0  # after a failure; doubled with each further one
    longest_retry: float = 300.0


@dataclass(frozen=True)
class Outcome:
    """How one sync ended. waiting: there is nothing to sync yet, and that is no fault."""

    state: Literal["synced", "waiting", "failed"]
    source: str = ""  # such as mirror:3
    kind: str = ""  # of error
    message: str = ""  # for the log


@dataclass
class Agenda:
    """What is pending, what runs, and how the last one ended. All times are `now` of the one clock that callers use."""

    timing: Timing = field(default_factory=Timing)
    pending: int = 0  # hooks that no sync has answered
    failures: int = 0  # in a row
    outcome: Outcome | None = None
    _first: float = 0.0
    _last: float = 0.0
    _taken: int = 0
    _started: float | None = None
    _ended: float | None = None
    _ended_at: datetime | None = None
    _seconds: float = 0.0

    def hint(self, now: float) -> None:
        """A hook came."""
        if not self.pending:
            self._first = now
        self._last = now
        self.pending += 1

    def due(self) -> float:
        """When the next sync should begin; at once if there was none, since hooks may have been missed until now."""
        if self._ended is None:
            return -math.inf
        if self.failures:
            return self._ended + self._retry()
        poll = self._ended + self.timing.every
        if not self.pending:
            return poll
        return min(poll, self._last + self.timing.quiet, self._first + self.timing.longest)

    def begin(self, now: float) -> None:
        """Hooks from here on ask for another sync: this one may have read past what they are about."""
        self._taken, self.pending, self._started = self.pending, 0, now

    def end(self, now: float, outcome: Outcome) -> None:
        begun = now if self._started is None else self._started
        self._seconds, self._started, self._ended = now - begun, None, now
        self._ended_at, self.outcome = datetime.now(UTC), outcome
        self.failures = self.failures + 1 if outcome.state == "failed" else 0
        if self.failures:  # what they asked for is still to be done
            self.pending += self._taken
        self._taken = 0

    def health(self, now: float) -> dict[str, Any]:
        """For /health: counts, states and times; no name, no address, no message."""
        last = None
        if self.outcome and self._ended_at:
            last = {
                "state": self.outcome.state,
                "error": self.outcome.kind or None,
                "ended_at": self._ended_at.isoformat(timespec="seconds"),
                "seconds": round(self._seconds, 3),
            }
        return {
            "pending_hooks": self.pending,
            "running_seconds": None if self._started is None else round(now - self._started, 3),
            "next_in_seconds": None if self._started is not None else round(max(0.0, self.due() - now), 3),
            "failures_in_a_row": self.failures,
            "last_sync": last,
        }

    def _retry(self) -> float:
        doubled = self.timing.first_retry * 2.0 ** min(self.failures - 1, 30)
        return min(doubled, self.timing.longest_retry, self.timing.every)


async def keep_in_sync(
    agenda: Agenda,
    run: Callable[[], Awaitable[Outcome]],
    *,
    wake: asyncio.Event,
    stop: asyncio.Event,
    clock: Callable[[], float],
    tell: Callable[[Outcome, int], None] = lambda outcome, hooks: None,
) -> None:
    """Run one sync after another as they fall due, until `stop`; never two at once.

    wake: set after a hint, and with `stop`. tell: hears each outcome, with the number of hooks it answers.
    """
    while not stop.is_set():
        wake.clear()
        wait = agenda.due() - clock()
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), wait)
            continue
        hooks = agenda.pending
        agenda.begin(clock())
        outcome = await run()
        agenda.end(clock(), outcome)
        tell(outcome, hooks)
