"""Nights that are disturbed on purpose, and what must be true of them all the same.

`faults` is the language in which a disturbance is written or drawn, `stage` a night with all that
belongs to it, `deeds` what the words of the language do to one, `checks` what is looked at
afterwards, and `trial` the way of one disturbed night from its beginning to its last check.
"""

from mirar_dask.testing.chaos.faults import KINDS, Fault, draw
from mirar_dask.testing.chaos.trial import Result, Undisturbed, try_night

__all__ = ["KINDS", "Fault", "Result", "Undisturbed", "draw", "try_night"]
