# One image for scheduler, workers and driver, so that their versions are the same.
#
#   docker build -t mirar-dask .
#   docker run --rm -v "$PWD/demo:/data/out" mirar-dask demo --out /data/out

ARG BASE_IMAGE=python:3.13-slim-bookworm
FROM ${BASE_IMAGE}

COPY pyproject.toml README.md LICENSE /src/
COPY mirar_dask /src/mirar_dask
RUN python3 -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --quiet /src \
    && rm -r /src \
    && useradd --create-home --uid 1000 mirar \
    && mkdir -p /data/raw /data/out /data/cache \
    && chown -R mirar: /data

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RAW_DATA_DIR=/data/raw \
    OUTPUT_DATA_DIR=/data/out \
    MIRAR_DASK_CACHE_DIR=/data/cache

USER mirar
WORKDIR /home/mirar
ENTRYPOINT ["mirar-dask"]
CMD ["--help"]
