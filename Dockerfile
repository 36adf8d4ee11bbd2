# syntax=docker/dockerfile:1
# One image for every service: `headwater up` by default; docker-compose.yml names other commands. See docs/deploy.md.

FROM python:3.12.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock deploy/runtime_lock.py ./
# What the services need and no more, each by the hashes of the lock; first, so that a change of code does not repeat it.
RUN python -m venv /opt/headwater \
 && python runtime_lock.py < requirements.lock > /tmp/runtime.lock \
 && /opt/headwater/bin/python -m pip install --require-hashes --requirement /tmp/runtime.lock \
 && python runtime_lock.py setuptools wheel < requirements.lock > /tmp/build.lock \
 && python -m pip install --require-hashes --requirement /tmp/build.lock
COPY . .
RUN python -m pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheels . \
 && /opt/headwater/bin/python -m pip install --no-deps /tmp/wheels/headwater-*.whl \
 && /opt/headwater/bin/python -m pip check

FROM python:3.12.12-slim-bookworm
RUN groupadd --gid 10001 headwater \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin headwater \
 && install -d -o 10001 -g 10001 -m 0750 /data
COPY --from=build /opt/headwater /opt/headwater
# PYTHONSAFEPATH: the working directory can be written to, so nothing is imported from it.
ENV PATH=/opt/headwater/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    HEADWATER_DATA_DIR=/data \
    HEADWATER_HOST=0.0.0.0 \
    HEADWATER_PORT=8080
WORKDIR /tmp
VOLUME /data
EXPOSE 8080
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health/ready', timeout=8)"]
CMD ["headwater", "up"]
