"""The last hour, minute by minute: a number each, which costs next to nothing to note."""

from __future__ import annotations

from array import array

MINUTES = 60
_NONE = array("f", bytes(4 * MINUTES))


class Hour:
    """Sixty numbers, that of the minute under way the last; times are the event loop's, which never go back."""

    __slots__ = ("_minute", "_numbers")

    def __init__(self) -> None:
        self._minute = -1
        self._numbers = _NONE

    def note(self, now: float, seconds: float, *, failed: bool) -> None:
        """Keep what took longest in its minute; a minute in which anything failed has its number below zero."""
        numbers = self.minutes(now)
        # A poll that took no time at all was one all the same.
        worst = max(seconds, abs(numbers[-1]), 1e-6)
        numbers[-1] = -worst if failed or numbers[-1] < 0 else worst

    def count(self, now: float) -> None:
        """Count one more in its minute."""
        self.minutes(now)[-1] += 1

    def minutes(self, now: float) -> array[float]:
        """Give the numbers, the oldest first; 0 where nothing was noted."""
        if gap := int(now // 60) - self._minute:
            self._numbers = (self._numbers + _NONE[:gap])[-MINUTES:]
            self._minute += gap
        return self._numbers
