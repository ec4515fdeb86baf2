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

# PostgreSQL, Redis and Kafka until Ctrl-C, for `cargo test` from another shell.
services:
    tests/run --services

# PostgreSQL, Redis and Kafka in containers, on the ports that the settings have as defaults.
infra:
    docker-compose up -d postgres redis kafka

# All of it in containers: two replicas behind a proxy, tracing, metrics.
up:
    docker-compose --profile app up -d --build

# The service, on a database file in this directory.
serve *arguments:
    cargo run --release --locked -- serve {{arguments}}

# Formats everything.
fmt:
    cargo fmt

# The API reference of the code.
doc:
    cargo doc --no-deps --document-private-items --open
