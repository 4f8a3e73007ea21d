"""The language of faults: who is struck, by what, when and for how long; pure.

A fault reads ``WHO.WHAT@WHEN`` or ``WHO.WHAT@WHEN+SECONDS``: ``worker.kill@0.4`` kills a worker
when four tenths of what an undisturbed run writes into its journal are written,
``worker.stop@0.2+3`` freezes one for three seconds. A night may have several, with spaces between
them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

_FORM = re.compile(r"(?P<who>\w+)\.(?P<what>\w+)@(?P<when>[\d.]+)(\+(?P<lasts>[\d.]+))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One disturbance of a night."""

    who: str
    """worker, driver, scheduler, host, cache, output, raw or clock."""
    what: str
    """What befalls it; with ``who`` a word that `deeds` knows."""
    when: float
    """Part of the journal of an undisturbed run that is written then."""
    lasts: float | None = None
    """Seconds; None for until the run is over."""

    @property
    def word(self) -> str:
        """What is done, by the name that `deeds` has for it."""
        return f"{self.who}.{self.what}"

    def __str__(self) -> str:
        lasts = "" if self.lasts is None else f"+{self.lasts:g}"
        return f"{self.word}@{self.when:g}{lasts}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read one fault.

        Raises
        ------
        ValueError
            If it is none.

        Examples
        --------
        >>> Fault.parse("worker.stop@0.2+3")
        Fault(who='worker', what='stop', when=0.2, lasts=3.0)
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no fault; write one as WHO.WHAT@WHEN or with +SECONDS")
        lasts = found["lasts"]
        when = float(found["when"])
        return cls(found["who"], found["what"], when, None if lasts is None else float(lasts))


Draw = Callable[[random.Random], list[Fault]]


def _several(who: str, what: str, most: int = 1) -> Draw:
    """Draw some faults of one kind, at any moments."""

    def drawn(chance: random.Random) -> list[Fault]:
        return [Fault(who, what, _moment(chance)) for _ in range(chance.randint(1, most))]

    return drawn


def _for_a_while(who: str, what: str, least: float, most: float) -> Draw:
    """Draw a fault that passes."""

    def drawn(chance: random.Random) -> list[Fault]:
        return [Fault(who, what, _moment(chance), round(chance.uniform(least, most), 2))]

    return drawn


def _at_once(who: str, what: str) -> Draw:
    """Draw a fault that is there from the beginning."""
    return lambda chance: [Fault(who, what, 0.0)]


def _moment(chance: random.Random) -> float:
    return round(chance.uniform(0.02, 0.95), 3)


def _mixed(chance: random.Random) -> list[Fault]:
    names = chance.sample(sorted(_CHEAP), k=chance.randint(2, 3))
    return [fault for name in names for fault in _CHEAP[name](chance)]


_CHEAP: dict[str, Draw] = {
    "worker killed": _several("worker", "kill", 3),
    "worker frozen for a while": _for_a_while("worker", "stop", 0.5, 5.0),
    "frames unreadable": _at_once("raw", "error"),
    "frames unreadable for a while": _for_a_while("raw", "error", 0.2, 2.0),
    "clock jumps": _several("clock", "jump", 2),
}
KINDS: dict[str, Draw] = {
    **_CHEAP,
    "driver killed": _several("driver", "kill"),
    "driver interrupted": _several("driver", "interrupt"),
    "cache full": _several("cache", "full"),
    "cache full for a while": _for_a_while("cache", "full", 0.3, 2.0),
    "cache gone": _several("cache", "gone"),
    "output full": _several("output", "full"),
    "output closed": _several("output", "closed"),
    "scheduler killed": _several("scheduler", "kill"),
    "node gone": _several("node", "kill"),
    "host cut off for a while": _for_a_while("host", "cut", 1.0, 6.0),
    "several at once": _mixed,
    "worker frozen for good": _several("worker", "stop"),
    "host cut off for good": _several("host", "cut"),
}
"""Kinds of disturbed nights, by what the table calls them; the last two take minutes."""


def draw(kind: str, seed: int) -> list[Fault]:
    """Draw the faults of a night.

    Parameters
    ----------
    kind : str
        A name in `KINDS`, or faults as they are written, apart by spaces.
    seed : int
        The same gives the same faults.
    """
    if kind in KINDS:
        return KINDS[kind](random.Random(f"{kind} {seed}"))
    return [Fault.parse(text) for text in kind.split()]
