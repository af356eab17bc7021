# syntax=docker/dockerfile:1
# Two stages: the compiler stays behind. The build needs the network for crates and Debian packages only.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Cached between builds: only what changed is compiled anew.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin tollgate && cp target/release/tollgate /usr/local/bin/tollgate

FROM debian:bookworm-slim
# ca-certificates: upstreams are verified against the system's roots. curl: the health check.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/tollgate --create-home tollgate
COPY --from=build /usr/local/bin/tollgate /usr/local/bin/tollgate
COPY conf/tollgate.toml /etc/tollgate/tollgate.toml
USER tollgate
# Database, journal and master key live in data/ below it: mount a volume here.
WORKDIR /var/lib/tollgate
RUN mkdir data
VOLUME /var/lib/tollgate/data
# The configuration API on 8001 listens on all addresses only once ADMIN_PASS is set.
EXPOSE 8002 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD curl --fail --silent --output /dev/null http://127.0.0.1:8002/healthz
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["--config", "/etc/tollgate/tollgate.toml", "serve"]
