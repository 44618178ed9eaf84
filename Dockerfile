# stream_maas: one image for the worker and for every command.
#
#   docker build -t stream-maas:0.1.0 .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL stream-maas:0.1.0 model list
#
# The Python is the one that CI tests with. Where images are kept, replace the tag by its digest.
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
# For the kernels of stream_maas/native/; the compiler stays behind in this stage.
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
# Dependencies first: they change rarely, so this layer is kept. Hashes are checked and none of them is compiled.
COPY deploy/requirements.lock deploy/requirements-build.lock ./
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements-build.lock \
 && python -m venv /opt/stream-maas && /opt/stream-maas/bin/pip install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY schemas schemas
COPY stream_maas stream_maas
RUN STREAM_MAAS_NATIVE=require /opt/build/bin/python -m hatchling build -t wheel -d /dist \
 && /opt/stream-maas/bin/pip install --no-deps --no-index /dist/*.whl \
 && /opt/stream-maas/bin/pip check \
 && /opt/stream-maas/bin/pip uninstall -y pip \
 && /opt/stream-maas/bin/stream-maas --version

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="stream_maas" \
      org.opencontainers.image.description="A model server whose only interface is Kafka" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0"
# A number, not a name: Kubernetes can then see for itself that it is not root.
RUN groupadd --gid 10001 maas \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin maas
COPY --from=build /opt/stream-maas /opt/stream-maas
# State of sealer and witness. The owner is set here because a new volume takes it over.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/stream-maas /var/lib/witness
# Nothing else is written but /tmp, so the root file system can be read-only.
ENV PATH=/opt/stream-maas/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    STREAM_MAAS_WORKER_LOG_FORMAT=json \
    STREAM_MAAS_WORKER_WEB_PORT=8080
USER 10001:10001
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['STREAM_MAAS_WORKER_WEB_PORT'] + '/healthz', timeout=2).close()"]
ENTRYPOINT ["stream-maas"]
CMD ["worker"]
