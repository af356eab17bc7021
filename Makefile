# What a developer and CI run. Needs Rust, gcc and (installed by the targets where they may) cmake.

.PHONY: help run cluster build test lint sdk-tools servers versions bench prices cmake

help:
	@echo 'make run     build and start the gateway (proxy on port 8002, configuration on 8001)'
	@echo 'make cluster  two gateways over Postgres and Redis on this machine, without containers; ctrl-C ends it'
	@echo 'make test    everything CI runs: tools, lint, build, all tests'
	@echo 'make versions  tests of the shared store and counts with other versions of Postgres and Redis'
	@echo 'make lint    format, clippy, docs; warnings are errors'
	@echo 'make bench   compare with bare Pingora, nginx and no proxy; prints a table of ratios'
	@echo 'make prices  fetch the price tables anew and show what changed'

# Pingora builds zlib-ng, which needs cmake.
cmake:
	@tests/tools.sh cmake

build: cmake
	cargo build --release --locked --bin tollgate

run: build
	./target/release/tollgate serve

cluster: build servers
	cargo build --release --locked --example upstream
	@tests/topology.sh

lint: cmake
	cargo fmt --all --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items

# Postgres, PgBouncer and Redis, which tests start in directories of their own.
servers:
	@tests/tools.sh servers

# The store's tests with other versions of Postgres, and the counters' with another Redis.
versions: cmake servers
	@tests/versions.sh

# The SDKs of OpenAI and Anthropic for Python and Node and an independent mock, in .tools/.
sdk-tools:
	@tests/tools.sh sdk

# The examples come first: tests start some of them as programs.
test: cmake servers sdk-tools lint
	cargo build --locked --bins --examples
	cargo test --locked
	@tests/versions.sh

bench: cmake
	python3 benches/compare.py $(BENCH)

prices:
	python3 src/metering/prices.py
