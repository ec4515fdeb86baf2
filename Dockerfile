# syntax=docker/dockerfile:1.7.0
# The service in a small image: one binary, no root, no shell needed.

# By exact tags. A build for others should name digests, which `docker buildx imagetools inspect TAG`
# prints: --build-arg BASE_IMAGE=debian:12.12-slim@sha256:…
ARG RUST_IMAGE=rust:1.95.0-bookworm
ARG BASE_IMAGE=debian:12.12-slim

FROM ${RUST_IMAGE} AS tools
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo install --locked cargo-chef@0.1.78
WORKDIR /build

# What the build depends on, without the code: it changes only with the manifests.
FROM tools AS recipe
COPY . .
RUN cargo chef prepare --recipe-path recipe.json --bin airline-booking

FROM tools AS build
# TLS and SASL to Kafka: the C library's OpenSSL is built here, which takes the perl, make and gcc of
# this image. And the allocator that needs less memory.
ARG FEATURES=kafka-tls,jemalloc
COPY --from=recipe /build/recipe.json recipe.json
# A layer of its own, so that a change of the code does not build the dependencies again.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo chef cook --profile dist --locked --recipe-path recipe.json \
        --bin airline-booking --features "$FEATURES"
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo build --profile dist --locked --bin airline-booking --features "$FEATURES"

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="airline-booking" \
    org.opencontainers.image.description="Sells seats on flights: search, hold, pay, settle." \
    org.opencontainers.image.licenses="MIT OR Apache-2.0"

# The authorities to trust where PostgreSQL, Redis or Kafka are reached over TLS.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /data airline \
    && install --directory --mode 0700 --owner airline --group airline /data

COPY --from=build /build/target/dist/airline-booking /usr/local/bin/

# By number, so that a cluster can tell that it is not root. Embedded, the database is in /data:
# mount a volume there, and keep it. Say at the start whether callers need a token: without
# AUTH=jwt or AUTH=off it does not serve.
USER 10001:10001
WORKDIR /data
ENV SERVER_HOST=0.0.0.0 \
    LOG_FORMAT=json
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=6 \
    CMD ["airline-booking", "health"]
ENTRYPOINT ["airline-booking"]
CMD ["serve"]
