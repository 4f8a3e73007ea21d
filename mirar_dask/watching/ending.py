"""When a night that is watched is over: after a quiet time, at an hour, some hours after it began.

Time spans are measured on a clock that nobody sets; only what was before a restart, and an hour of
the day, is told by the clock of the host.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from mirar_dask.watching.ledger import Ledger
from mirar_dask.watching.options import WatchOptions, read_moment


class NightEnd:
    """Tells whether a night is over.

    Parameters
    ----------
    options : WatchOptions
        When it is to be.
    ledger : Ledger
        What is known of it; it is told when the night began, and when it ends.
    """

    def __init__(self, options: WatchOptions, ledger: Ledger) -> None:
        self.options, facts = options, ledger.facts
        clock, now = time.time(), time.monotonic()
        if "began" not in facts:
            ledger.note_fact("began", clock)
        self._began = now - max(0.0, clock - float(facts["began"]))
        self.until: float | None = None
        """Seconds since the epoch."""
        if options.until is not None:
            # Begun anew after that hour, a night that was to end then is over.
            if facts.get("until_said") != options.until:
                moment = read_moment(options.until, datetime.now(UTC))
                ledger.note_fact("until_said", options.until)
                ledger.note_fact("until", moment.timestamp())
            self.until = float(facts["until"])
        last = max((entry.arrived for entry in ledger.entries.values()), default=None)
        self._moved = None if last is None else now - max(0.0, clock - last)

    def moved(self) -> None:
        """Note that a frame has come."""
        self._moved = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since the night began."""
        return time.monotonic() - self._began

    def why(self, *, busy: bool) -> str:
        """Say why the night is over; empty if it is not.

        Parameters
        ----------
        busy : bool
            Whether frames are still to be reduced, or files are being written.
        """
        if self.until is not None and time.time() >= self.until:
            return f"it is {self.options.until}"
        if self.age >= self.options.final_after:
            return f"it began {self.options.final_after / 3600:g} hours ago"
        if self._moved is None or busy:
            return ""
        still = time.monotonic() - self._moved
        return f"no frame came for {still:.0f} s" if still >= self.options.quiet_after else ""
