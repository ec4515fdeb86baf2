# `just` lists these.
default:
    @just --list

# What CI runs: formatting, lints, every test.
check:
    .ci/run

# Every test, and what it needs.
test:
    tests/run

# The service, on a database file in this directory.
serve *arguments:
    cargo run --release --locked -- serve {{arguments}}

# Formats everything.
fmt:
    cargo fmt

# The API reference of the code.
doc:
    cargo doc --no-deps --document-private-items --open
