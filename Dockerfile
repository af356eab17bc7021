# syntax=docker/dockerfile:1
# Two stages: the compiler stays behind. The build needs the network for crates and Debian packages only.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Cached between builds: only what changed is compiled anew. Two builds at once would spoil each other's files.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin tollgate && cp target/release/tollgate /usr/local/bin/tollgate

FROM debian:bookworm-slim
# ca-certificates: upstreams are verified against the system's roots. curl: the health check.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/tollgate --create-home tollgate
COPY --from=build /usr/local/bin/tollgate /usr/local/bin/tollgate
COPY conf/tollgate.toml /etc/tollgate/tollgate.toml
USER tollgate
# What a gateway must not lose is in data/ below it, a volume for each gateway: the journal; without a shared database
# also the ledger, and the master key that opens the credentials in it.
WORKDIR /var/lib/tollgate
RUN mkdir -m 0700 data
VOLUME /var/lib/tollgate/data
# The configuration API on 8001 listens on all addresses only once ADMIN_PASS or ADMIN_API_KEY is set; 8866 opens with the
# latter, 2112 (metrics, without a secret) with telemetry.metrics_listen.
EXPOSE 8002 8001 8866 2112
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD curl --fail --silent --output /dev/null http://127.0.0.1:8002/healthz
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["--config", "/etc/tollgate/tollgate.toml", "serve"]
