# One image for scheduler, workers and driver, so that their versions are the same.
#
#   docker build -t mirar-dask .                  # needs BuildKit: Docker 23, or DOCKER_BUILDKIT=1
#   docker run --rm mirar-dask mirar-dask --help
#
# docker-compose.yml starts a cluster of it. Wheels in a folder `wheels` beside this file are used
# before those of a package index; docs/clusters.md says how to build without a network.

ARG BASE_IMAGE=python:3.13.9-slim-bookworm

FROM ${BASE_IMAGE} AS build
# Set by --build-arg: another package index, or none. They stay out of the image that is kept.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
RUN python3 -m venv /venv
# The sources are looked at where they are: nothing is copied, and pip's cache is the builder's.
RUN --mount=type=bind,target=/src --mount=type=cache,target=/root/.cache/pip \
    /venv/bin/pip install --disable-pip-version-check --find-links /src/wheels /src \
    # Tests of other packages are a seventh of it; astropy alone imports its own.
    && find /venv -name 'astropy*' -prune -o -name tests -type d -prune -exec rm -r {} +
# Dask reads this folder by itself: whatever is started from the image has our settings.
RUN mkdir -p /venv/etc/dask && /venv/bin/mirar-dask cluster settings > /venv/etc/dask/mirar_dask.yaml

FROM ${BASE_IMAGE}
COPY --from=build /venv /venv
# Anybody may write there: the user is often another one (--user), so that products belong to him.
RUN useradd --uid 1000 --home-dir /tmp --no-create-home mirar \
    && mkdir -m 1777 -p /data/raw /data/out /data/cache
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    RAW_DATA_DIR=/data/raw \
    OUTPUT_DATA_DIR=/data/out
USER mirar
WORKDIR /data/out
CMD ["mirar-dask", "--help"]
