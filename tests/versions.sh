#!/usr/bin/env bash
# Runs the tests of the shared store with the oldest and the newest Postgres that is supported, and those of the shared
# counts and of kept answers with an old Redis. All other tests use the versions that the distribution has.
set -euo pipefail
cd "$(dirname "$0")/.."
tests/tools.sh versions
# Postgres runs as a user who may not look into every home directory.
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
chmod 755 "$programs"

# with NAME FILTER...
with() {
    local name=$1
    shift
    printf '%s\n' "tests of $* with $name" >&2
    TEST_SERVERS="$programs/$name/bin" cargo test --locked --lib --quiet -- "$@"
}

for postgres in .tools/postgres-*; do
    cp -r "$postgres/native" "$programs/${postgres##*/}"
    with "${postgres##*/}" store::postgres
done
mkdir -p "$programs/redis-6/bin"
cp .tools/redis-6/bin/redis-server "$programs/redis-6/bin/"
# A cluster of this version is not made: the nodes of the tests' one are set up with words that came with 7.0.
with redis-6 counters::shared cache::redis --skip a_cluster_spreads
