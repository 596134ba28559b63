# syntax=docker/dockerfile:1
# The service in a container: see docs/operating.md.
#   docker build -t lookalike .
#   docker build -t lookalike:cuda --build-arg ACCELERATOR=cuda .
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS build
ARG ACCELERATOR=cpu
# Of pyproject.toml, with commas between them, such as otel,plots. torch takes 5 GB.
ARG EXTRAS=otel
WORKDIR /src
RUN python -m venv /opt/lookalike
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/lookalike/bin/pip install --disable-pip-version-check ".[${EXTRAS}]"
# Both packages are called onnxruntime when they are imported, so one has to go.
RUN --mount=type=cache,target=/root/.cache/pip \
    if [ "${ACCELERATOR}" = cuda ]; then \
        /opt/lookalike/bin/pip uninstall --yes onnxruntime \
        && /opt/lookalike/bin/pip install --disable-pip-version-check 'onnxruntime-gpu[cuda,cudnn]>=1.21'; \
    fi
# What only installs and tests need.
RUN /opt/lookalike/bin/pip uninstall --yes pip \
    && find /opt/lookalike -type d -name tests -prune -exec rm -r {} +

FROM python:${PYTHON}
RUN groupadd --gid 10001 lookalike \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin lookalike \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=build /opt/lookalike /opt/lookalike
ENV PATH=/opt/lookalike/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data/models \
    LOOKALIKE_COLLECTION=/data/collection \
    LOOKALIKE_HOST=0.0.0.0 \
    LOOKALIKE_PORT=8000
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"LOOKALIKE_PORT\"]}/healthz', timeout=4)"]
ENTRYPOINT ["lookalike"]
CMD ["serve"]
