# One image for the worker, the dashboard and the sandbox: what is installed is the same, the command differs.
ARG PYTHON=python:3.13-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /build && python -m venv --without-pip /opt/pushledger
COPY constraints.txt ./
RUN /build/bin/pip install --constraint constraints.txt build hatchling
COPY pyproject.toml README.md LICENSE ./
COPY producers ./producers
COPY worker ./worker
COPY dashboard ./dashboard
COPY sandbox ./sandbox
COPY testing ./testing
RUN /build/bin/python -m build --wheel --no-isolation --outdir /wheels
RUN /build/bin/pip --python /opt/pushledger/bin/python install --constraint constraints.txt \
      "$(ls /wheels/*.whl)[worker,dashboard,sandbox]" \
    && /opt/pushledger/bin/python -m compileall -q /opt/pushledger/lib

FROM ${PYTHON}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="pushledger" \
      org.opencontainers.image.description="Keeps automated chat messages in step with a shop's orders" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/pushledger /opt/pushledger
ENV PATH=/opt/pushledger/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /tmp
EXPOSE 8025 8026
CMD ["pushledger", "--help"]
