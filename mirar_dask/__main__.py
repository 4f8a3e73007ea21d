"""`python -m mirar_dask` is the command `mirar-dask`."""

from mirar_dask.cli import command

# Worker processes import the main module of the driver: they must not start another driver.
if __name__ == "__main__":
    command()
