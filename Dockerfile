# One image for all services; the subcommand says which: proxy, cdc, invalidator.
#   docker build -t tidegate .
# Behind a mirror of PyPI: --build-arg PIP_INDEX_URL=… (or PIP_NO_INDEX=1 and PIP_FIND_LINKS with wheels in the context)

FROM python:3.11-slim AS build
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && python -m venv /opt/tidegate \
 && /opt/tidegate/bin/pip install --no-cache-dir --constraint constraints.txt /wheels/*.whl \
 && /opt/tidegate/bin/tidegate version

FROM python:3.11-slim
LABEL org.opencontainers.image.title="Tidegate" \
      org.opencontainers.image.description="A plug-and-play cache for Postgres" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-log-init --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tidegate
COPY --from=build /opt/tidegate /opt/tidegate
ENV PATH=/opt/tidegate/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TIDEGATE_LOG_FORMAT=json \
    TIDEGATE_METRICS_LISTEN=0.0.0.0:9464
USER 10001
WORKDIR /
EXPOSE 6432 9464
ENTRYPOINT ["tidegate"]
CMD ["--help"]
