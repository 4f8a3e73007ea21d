"""Imports what workers need of any night: the server that workers are forked from loads this."""

import gc
from importlib import import_module

from mirar_dask.steady import use_steady_clocks

MODULES = (
    "distributed.nanny",
    "distributed.worker",
    "mirar_dask.engine.plugin",
    "mirar_dask.engine.task",
    "mirar_dask.processors.combine",
    "mirar_dask.pipelines.imager",
)

gc.disable()  # what is imported is never garbage, and looking for some is a sixth of the work
for _name in MODULES:
    import_module(_name)
use_steady_clocks()
gc.freeze()  # a search for garbage writes to all that it looks at, and workers share this memory
gc.enable()
