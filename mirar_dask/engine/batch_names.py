"""Names of batches: short, stable through a run, the same in its plan and in its events.

`expand` names what it divides, `flow` and `plan` what enters a segment. A batch is called by the
values that tell it from the others ("M31 r"), calibration frames by the master that they end in
("flat r", "bias").
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

UNDIVIDED = "images"
"""What a batch is called that nothing tells from others."""
LONGEST = 40
"""Characters of a name at most."""
SHORT = 16
"""Characters up to which a value is worth telling though it is that of all images."""


PARTS = ", "
"""Between the parts of a value that is made of several, such as the group of a camera's frames."""


class Turn(NamedTuple):
    """A place where images were divided, and the values of the part that one of them is in."""

    step: int
    values: tuple[str, ...]


Path = tuple[Turn, ...]
"""The turns that an image took."""
Telling = Mapping[int, frozenset[str]]
"""Steps at which not all images took the same turn, each with the parts that all values share."""


def shown(name: str) -> str:
    """Return what a batch is called where people read it."""
    return name or UNDIVIDED


def of_entry(place: int, number: int) -> str:
    """Name one of the batches with which a run begins."""
    return "" if number == 1 else f"batch {place + 1}"


def of_key(key: Any) -> str:
    """Name a batch after the key by which its images were put together."""
    return _joined(_texts(key))


def of_part(name: str, rank: int, number: int) -> str:
    """Name one of the batches that a step made of one, or of all."""
    return name if number == 1 else _joined([name, str(rank + 1)])


def turn(step: int, key: Any) -> Path:
    """Return the turn that images with a key take; none where it holds no value."""
    values = _texts(key)
    return (Turn(step, values),) if values else ()


def of_paths(
    paths: Sequence[Path], entry: str, masters: Mapping[int, str], asides: Mapping[int, str]
) -> list[str]:
    """Name the batch that each image is in.

    Parameters
    ----------
    paths : sequence of tuple of Turn
        By position of the image.
    entry : str
        Name of the batch that entered.
    masters : mapping of int to str
        Step whose master an image goes into, for those that end in one.
    asides : mapping of int to str
        Step that sets an image aside, for those that do nothing before.
    """
    telling = telling_steps(paths)
    known: dict[tuple[Path, str | None, str | None], str] = {}
    names = []
    for position, path in enumerate(paths):
        master, aside = masters.get(position), asides.get(position)
        found = known.get((path, master, aside))
        if found is None:
            if master is not None:
                found = of_master(master, path, entry, telling)
            elif aside is not None:
                found = _joined([entry, *_words(path, telling), f"aside ({aside})"])
            else:
                found = _joined([entry, *_words(path, telling)]) or _last_value(path)
            known[path, master, aside] = found
        names.append(found)
    return names


def of_master(step: str, path: Path, entry: str, telling: Telling) -> str:
    """Name what goes into a master."""
    return _joined([step, entry, *_words(path, telling)])


def telling_steps(paths: Iterable[Path]) -> Telling:
    """Find the steps at which not all images took the same turn."""
    found: dict[int, set[tuple[str, ...]]] = defaultdict(set)
    for path in set(paths):
        for step, values in path:
            found[step].add(values)
    return {step: _shared(values) for step, values in found.items() if len(values) > 1}


def _shared(turns: Iterable[tuple[str, ...]]) -> frozenset[str]:
    """Parts that the values of all turns have: "gain 1.5" of "512x512, gain 1.5"."""
    parts = [frozenset(part for value in values for part in value.split(PARTS)) for values in turns]
    return frozenset.intersection(*parts)


def _words(path: Path, telling: Telling) -> list[str]:
    words: list[str] = []
    for step, values in path:
        if step in telling:
            # Divided by filter, then by target and filter, it is "M31 r", not "r M31 r".
            new = [_telling_parts(value, telling[step]) for value in values]
            words = [*(word for word in words if word not in new), *new]
    return words


def _telling_parts(value: str, shared: frozenset[str]) -> str:
    # A value of one part stands for itself: "r" of both "M31 r" and "M33 r".
    own = [part for part in value.split(PARTS) if part not in shared]
    return PARTS.join(own) if PARTS in value and own else value


def _last_value(path: Path) -> str:
    text = _joined(path[-1].values) if path else ""
    return text if len(text) <= SHORT else ""


def _texts(key: Any) -> tuple[str, ...]:
    values = key if isinstance(key, tuple) else (key,)
    return tuple(text for value in values if (text := str(value).strip()))


def _joined(words: Iterable[str]) -> str:
    name = " ".join(word for word in words if word)
    # What tells batches apart may be at the beginning (a size) or at the end (a target).
    return name if len(name) <= LONGEST else f"{name[:12]}...{name[15 - LONGEST :]}"
