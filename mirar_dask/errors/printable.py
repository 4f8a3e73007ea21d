"""Text of files, names and errors made fit to be shown: nothing in it steers a terminal."""

from __future__ import annotations

import re

# Control characters but line breaks and tabs, marks that turn the direction of writing, and what
# stands for bytes of a name that are no text.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Return text with escapes in place of what must not reach a terminal.

    Examples
    --------
    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _UNFIT.sub(
        lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text
    )
