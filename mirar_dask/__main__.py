"""`python -m mirar_dask` is `mirar-dask`."""

import sys

from mirar_dask.cli import main

# Worker processes import the main module of the driver: they must not start another driver.
if __name__ == "__main__":
    sys.exit(main())
