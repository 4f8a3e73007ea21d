"""The command `mirar-dask`: it parses, calls `mirar_dask.run`, prints and sets the exit code.

One module a command; `app` holds what they share. Each imports what it needs when it is called,
so that ``mirar-dask --help`` answers at once.
"""

from mirar_dask.cli.app import app, command, main
from mirar_dask.cli.cancel import cancel
from mirar_dask.cli.clean import clean
from mirar_dask.cli.cluster import cluster
from mirar_dask.cli.demo import demo
from mirar_dask.cli.page import page
from mirar_dask.cli.pipelines import pipelines
from mirar_dask.cli.plan import plan
from mirar_dask.cli.processors import processors
from mirar_dask.cli.report import report
from mirar_dask.cli.resume import resume
from mirar_dask.cli.run import run
from mirar_dask.cli.simulate import simulate
from mirar_dask.cli.status import runs, status
from mirar_dask.cli.submit import submit
from mirar_dask.cli.watch import watch

__all__ = ["app", "command", "main"]

_COMMANDS = (
    *(demo, simulate, plan, run, watch, resume, submit),
    *(status, report, runs, page, cancel, clean),
    *(pipelines, processors, cluster),
)
for _command in _COMMANDS:
    app.add_command(_command)
