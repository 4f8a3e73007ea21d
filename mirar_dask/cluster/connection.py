"""From a ClusterSpec to an engine: starts what is to be started, probes it, and stops it again."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mirar_dask.cluster.sighting import remove_tokens
from mirar_dask.cluster.spec import ClusterSpec
from mirar_dask.data.late import LATE_SECONDS
from mirar_dask.engine.outlook import AskOutlook, nobody_knows
from mirar_dask.engine.serial import SerialEngine
from mirar_dask.engine.types import Engine
from mirar_dask.errors import ClusterError, MirarDaskError
from mirar_dask.life import sign_folder
from mirar_dask.private import make_private

if TYPE_CHECKING:
    from distributed import Client

    from mirar_dask.cluster.places import Places

logger = logging.getLogger(__name__)

SHARED = ".mirar_dask"
"""Folder below home for what a cluster without a run needs for a while."""


@contextmanager
def connect(
    spec: ClusterSpec,
    *,
    dashboard: bool = True,
    folder: Path | None = None,
    places: Places | None = None,
    offer: Callable[..., str] | None = None,
) -> Iterator[Engine]:
    """Give an engine that does tasks where the specification says.

    Parameters
    ----------
    spec : ClusterSpec
        Where.
    dashboard : bool
        Serve Dask's dashboard on this machine's loopback interface.
    folder : Path, optional
        Folder of the run, which all hosts see: for what jobs print, and for certificates. By
        default a temporary one in the home folder.
    places : Places, optional
        Folders that each worker on another machine must see before it is given work.
    offer : callable, optional
        Called in the scheduler's process with ``dask_scheduler``, to serve more pages there;
        returns why it cannot, if it cannot.

    Raises
    ------
    ClusterError
        If there is no scheduler at the given place, it has no workers, they cannot be started,
        or they do not see the folders.
    """
    if spec.kind == "serial":
        yield SerialEngine()
        return
    from mirar_dask.engine.driver import DaskEngine
    from mirar_dask.steady import use_steady_clocks

    use_steady_clocks()
    with ExitStack() as stack:
        proves = places if places is not None and spec.traits.spans_hosts else None
        if proves and proves.output:
            stack.callback(remove_tokens, proves.output)  # when our workers have ended
        client, outlook = _client(spec, stack, dashboard, folder)
        if proves:
            from mirar_dask.cluster.probe import proving

            try:
                stack.enter_context(proving(client, proves))
            except OSError as error:
                if isinstance(error, MirarDaskError) or error.errno is not None:
                    raise
                raise ClusterError(
                    f"the scheduler went away while its workers were looked at ({error}); start it "
                    "again, and see why it ended"
                ) from error
        if offer is not None and dashboard:
            _call(offer, client)
        # Files of one machine are never late.
        late = LATE_SECONDS if spec.traits.spans_hosts else 0.0
        yield DaskEngine(client, outlook=outlook, patience=late)


def _call(offer: Callable[..., str], client: Client) -> None:
    """Have something offered on a scheduler; a night goes on without it."""
    try:
        trouble = client.run_on_scheduler(offer)
    except Exception as error:  # whatever that process lacks
        reason = f"{type(error).__name__}: {error}"
        trouble = (
            f"the scheduler cannot serve the page of the night: {reason}; install this "
            "version of mirar_dask where it runs, or use 'mirar-dask page'"
        )
    if trouble:
        logger.warning("%s", trouble)


def _client(
    spec: ClusterSpec, stack: ExitStack, dashboard: bool, folder: Path | None
) -> tuple[Client, AskOutlook]:
    """Start or reach the scheduler; what is started ends with the stack."""
    if spec.kind in ("address", "file"):
        from mirar_dask.cluster.reach import reach

        return reach(spec, stack), nobody_knows
    if folder is None and (spec.traits.spans_hosts or spec.encrypted):
        folder = _temporary(stack)
    here = folder or Path()
    if spec.traits.queue:
        from mirar_dask.cluster.queues import start_queue

        return start_queue(spec, stack, dashboard=dashboard, folder=here)
    if spec.kind == "ssh":
        from mirar_dask.cluster.ssh import start_ssh

        return start_ssh(spec, stack, dashboard=dashboard, folder=here), nobody_knows
    if spec.kind == "slurm-runner":
        from mirar_dask.cluster.runner import start_runner

        return start_runner(spec, stack, dashboard=dashboard, folder=here), nobody_knows
    from mirar_dask.cluster.local import start_local

    return start_local(spec, stack, dashboard=dashboard, folder=here), nobody_knows


def _temporary(stack: ExitStack) -> Path:
    """Make a folder below home, which hosts of a cluster share as a rule; gone in the end."""
    above = Path.home() / SHARED
    make_private(above)
    made = Path(tempfile.mkdtemp(dir=above))
    stack.callback(shutil.rmtree, made, ignore_errors=True)
    sign_folder(made)
    return made
