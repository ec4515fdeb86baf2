# `just` lists these.
default:
    @just --list

# What CI runs: formatting, lints, every test.
check:
    .ci/run

# Every test, and what it needs.
test *arguments:
    tests/run {{arguments}}

# Two replicas under load while one thing after the other goes wrong; ends with counts.
faults *arguments:
    tests/faults {{arguments}}

# Real replicas and servers, killed, frozen and cut off; `just chaos --minutes 10`.
chaos *arguments:
    tests/chaos {{arguments}}

# PostgreSQL, Redis and Kafka until Ctrl-C, for `cargo test` from another shell.
services:
    tests/run --services

# PostgreSQL, Redis and Kafka in containers, on the ports where `serve --services` looks for them.
infra:
    docker-compose up -d postgres redis kafka

# All of it in containers: two replicas behind a proxy. Needs deploy/compose/.env.
up:
    cd deploy/compose && docker compose up -d --build

# What is in the binary of the image: every crate, as CycloneDX.
sbom *arguments:
    deploy/sbom {{arguments}}

# The service, on a database file in this directory.
serve *arguments:
    cargo run --release --locked -- serve {{arguments}}

# Formats everything.
fmt:
    cargo fmt

# The API reference of the code.
doc:
    cargo doc --no-deps --document-private-items --open
