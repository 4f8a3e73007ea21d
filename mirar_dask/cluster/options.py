"""Options that only one kind of cluster knows, checked before they are passed on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.errors import UsageError


def check_options(
    spec: ClusterSpec, makers: Iterable[Callable[..., Any]], *, ours: Iterable[str]
) -> None:
    """Refuse an option of ``--cluster-option`` that nobody would understand.

    Parameters
    ----------
    spec : ClusterSpec
        With the options.
    makers : iterable of callable
        Those that the options are passed on to.
    ours : iterable of str
        Their parameters that options of ours stand for, or that are none of a user's.

    Raises
    ------
    UsageError
        If an option is a parameter of none of them; the message names all that are.
    """
    if not spec.options:
        return
    known = {name for maker in makers for name in inspect.signature(maker).parameters}
    known -= {"self", "kwargs", "args", *ours}
    for name, _ in spec.options:
        if name not in known:
            raise UsageError(
                f"--cluster-option {name} is not known to --cluster {spec.kind}; there are "
                + ", ".join(sorted(known))
            )
