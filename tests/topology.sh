#!/usr/bin/env bash
# The whole topology on this machine, without containers and from nothing: Postgres, Redis, two gateways over both, nginx
# before them, Prometheus and Grafana where they are installed, and an upstream that answers like a provider. Everything
# listens on 127.0.0.1. Ctrl-C ends it all and removes what it made.
#
# Usage: tests/topology.sh [DIRECTORY]     a directory that is given must be empty or missing, and stays
# Environment: TOLLGATE (the program), UPSTREAM (the example `upstream`), PORTS (first of a hundred ports, default 8000)
set -euo pipefail
cd "$(dirname "$0")/.."
source_directory=$PWD
say() { printf '%s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

first=${PORTS:-8000}
port_balancer=$first
port_admin=($((first + 1)) $((first + 11)))
port_proxy=($((first + 2)) $((first + 12)))
port_grafana=$((first + 30))
port_postgres=$((first + 32))
port_redis=$((first + 79))
port_prometheus=$((first + 90))
port_upstream=$((first + 91))

newest() { ls -t "$@" 2>/dev/null | head -1; }
tollgate=${TOLLGATE:-$(newest target/{release,debug}/tollgate || true)}
upstream=${UPSTREAM:-$(newest target/{release,debug}/examples/upstream || true)}
[ -x "$tollgate" ] || die "no gateway: build one with 'make build', or say where it is in TOLLGATE"
tollgate=$(realpath "$tollgate")
tests/tools.sh servers
postgres_programs=$(dirname "$(ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -1 || true)")
[ -x "$postgres_programs/postgres" ] || postgres_programs=$(dirname "$(command -v postgres)")

for port in "$port_balancer" "${port_admin[@]}" "${port_proxy[@]}" "$port_postgres" "$port_redis"; do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || die "port $port is taken: choose others with PORTS"
done

if [ $# -gt 0 ]; then
    directory=$1 keep=yes
    mkdir -p "$directory"
    [ -z "$(ls -A "$directory")" ] || die "$directory is not empty"
    directory=$(realpath "$directory")
else
    directory=$(mktemp -d) keep=
fi

# Each in a process group of its own, so that a ctrl-C reaches this script alone and things end in order.
set -m
gateways=() servers=()
finish() {
    trap - EXIT
    trap '' INT TERM HUP
    say "ending"
    # Gateways first: what they still have to tell the store is told.
    for group in "${gateways[@]}" "${servers[@]}"; do
        kill -TERM -- "-$group" 2>/dev/null || continue
        for _ in {1..100}; do
            kill -0 -- "-$group" 2>/dev/null || break
            sleep 0.1
        done
        kill -KILL -- "-$group" 2>/dev/null || true
    done
    [ -n "$keep" ] || rm -rf "$directory"
}
trap finish EXIT
trap 'exit 0' INT TERM HUP

# start LIST NAME COMMAND...: in $directory/NAME, its output in the log there.
start() {
    local -n list=$1
    local name=$2
    shift 2
    (cd "$directory/$name" && exec "$@" </dev/null >>"$directory/$name/log" 2>&1) &
    list=("$!" "${list[@]}")
    # Its end is news to nobody.
    disown
}

# await NAME COMMAND...: until it succeeds.
await() {
    local name=$1
    shift
    for _ in {1..300}; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    tail -5 "$directory/$name/log" >&2 || true
    die "$name does not start"
}

random() { head -c "$1" /dev/urandom | base64 -w 0; }

# Postgres does not run as root.
as_server=()
mkdir -m 0755 -p "$directory"/{postgres,redis,gateway-1,gateway-2,balancer,upstream,prometheus,grafana}
chmod 0755 "$directory"
printf '%s' "$(random 18 | tr '+/' '-_')" >"$directory/postgres/password"
chmod 0600 "$directory/postgres/password"
postgres_password=$(cat "$directory/postgres/password")
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$directory/postgres"
    as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups)
fi
say "Postgres on $port_postgres, Redis on $port_redis, in $directory"
(cd "$directory/postgres" && "${as_server[@]}" "$postgres_programs/initdb" -D data -U tollgate -A scram-sha-256 \
    --pwfile password -E UTF8 --locale=C.UTF-8 >log 2>&1) || { cat "$directory/postgres/log" >&2; die "initdb fails"; }
start servers postgres "${as_server[@]}" "$postgres_programs/postgres" -D data -p "$port_postgres" \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200
start servers redis redis-server --port "$port_redis" --bind 127.0.0.1 --save '' --appendonly no \
    --maxmemory-policy noeviction
database() { PGPASSWORD=$postgres_password "$postgres_programs/psql" -qAt -h 127.0.0.1 -p "$port_postgres" -U tollgate "$@"; }
await postgres database -c 'SELECT 1' postgres
database -c 'CREATE DATABASE tollgate' postgres
await redis redis-cli -p "$port_redis" ping

openai=()
if [ -x "$upstream" ]; then
    start servers upstream "$(realpath "$upstream")" --listen "127.0.0.1:$port_upstream" --key sk-upstream
    openai=("TOLLGATE_PROVIDERS_OPENAI_BASE_URL=http://127.0.0.1:$port_upstream")
fi

master_key=$(random 32)
for n in 1 2; do
    # A gateway's own: its directory, with its journal. All else is the same for both.
    start gateways "gateway-$n" env "${openai[@]}" \
        "TOLLGATE_STORE_URL=postgres://tollgate:$postgres_password@127.0.0.1:$port_postgres/tollgate" \
        "TOLLGATE_COUNTERS_URL=redis://127.0.0.1:$port_redis/0" \
        "TOLLGATE_MASTER_KEY=$master_key" \
        "TOLLGATE_PROXY_LISTEN=127.0.0.1:${port_proxy[$((n - 1))]}" \
        "TOLLGATE_ADMIN_LISTEN=127.0.0.1:${port_admin[$((n - 1))]}" \
        "$tollgate" serve
done
for n in 1 2; do
    await "gateway-$n" curl -fsS "http://127.0.0.1:${port_proxy[$((n - 1))]}/readyz"
done

entrance=${port_proxy[0]}
nginx=$(command -v nginx || ls /usr/sbin/nginx 2>/dev/null || true)
if [ -n "$nginx" ]; then
    # The file for containers, with the names of this machine.
    balancer=$(sed -e "s/gateway-1:8002/127.0.0.1:${port_proxy[0]}/; s/gateway-2:8002/127.0.0.1:${port_proxy[1]}/" \
        -e "s/ resolve;/;/; /^resolver /d; s/listen 8080;/listen 127.0.0.1:$port_balancer;/" conf/nginx/tollgate.conf)
    printf 'daemon off;\npid nginx.pid;\nerror_log stderr warn;\nevents { worker_connections 4096; }\nhttp {\naccess_log off;\n%s\n%s\n}\n' \
        "$(for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $directory/balancer/$kind;"; done)" \
        "$balancer" >"$directory/balancer/nginx.conf"
    start servers balancer "$nginx" -p "$directory/balancer" -e stderr -c nginx.conf
    await balancer curl -fsS "http://127.0.0.1:$port_balancer/balancer"
    entrance=$port_balancer
fi

if command -v prometheus >/dev/null; then
    sed "s/gateway-1:2112/127.0.0.1:${port_admin[0]}/; s/gateway-2:2112/127.0.0.1:${port_admin[1]}/" \
        conf/prometheus/prometheus.yml >"$directory/prometheus/prometheus.yml"
    cp conf/prometheus/alerts.yml "$directory/prometheus/"
    start servers prometheus prometheus --config.file=prometheus.yml --storage.tsdb.path=data \
        "--web.listen-address=127.0.0.1:$port_prometheus"
    await prometheus curl -fsS "http://127.0.0.1:$port_prometheus/-/ready"
    say "Prometheus:     http://127.0.0.1:$port_prometheus"
else
    say "Prometheus is not installed (Debian: apt-get install prometheus); /metrics is on the admin listeners"
fi
if command -v grafana-server >/dev/null || command -v grafana >/dev/null; then
    cp -r conf/grafana/provisioning "$directory/grafana/"
    sed -i "s|http://prometheus:9090|http://127.0.0.1:$port_prometheus|" "$directory/grafana/provisioning/datasources/prometheus.yaml"
    sed -i "s|path: .*|path: $source_directory/conf/grafana/dashboards|" "$directory/grafana/provisioning/dashboards/tollgate.yaml"
    grafana=(grafana-server)
    command -v grafana-server >/dev/null || grafana=(grafana server)
    start servers grafana env GF_SERVER_HTTP_ADDR=127.0.0.1 "GF_SERVER_HTTP_PORT=$port_grafana" \
        "GF_PATHS_DATA=$directory/grafana/data" "GF_PATHS_LOGS=$directory/grafana/logs" GF_AUTH_ANONYMOUS_ENABLED=true \
        "GF_PATHS_PROVISIONING=$directory/grafana/provisioning" "${grafana[@]}" --homepath /usr/share/grafana
    say "Grafana:        http://127.0.0.1:$port_grafana/d/tollgate"
fi

say "Clients:        http://127.0.0.1:$entrance"
say "Gateway 1:      proxy ${port_proxy[0]}, configuration http://127.0.0.1:${port_admin[0]}, log $directory/gateway-1/log"
say "Gateway 2:      proxy ${port_proxy[1]}, configuration http://127.0.0.1:${port_admin[1]}, log $directory/gateway-2/log"
cat <<TEXT

Make a key through one gateway, and use it at both:

  SETTING=\$(curl -s -X PUT http://127.0.0.1:${port_admin[0]}/api/provider-settings \\
    -d '{"provider":"openai","setting":{"apikey":"sk-upstream"}}' | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')
  curl -s -X PUT http://127.0.0.1:${port_admin[0]}/api/key-management/keys \\
    -d '{"name":"try","key":"gw-try","settingIds":["'"\$SETTING"'"],"rateLimitOverTime":5,"rateLimitUnit":"m"}'
  for n in 1 2 3 4 5 6; do curl -s -o /dev/null -w '%{http_code}\\n' http://127.0.0.1:$entrance/api/providers/openai/v1/chat/completions \\
    -H 'Authorization: Bearer gw-try' -H 'content-type: application/json' \\
    -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}'; done

Five are answered 200 and the sixth 429, whichever gateway they reach. Then end something with kill -9 and look again:
  curl -s http://127.0.0.1:${port_proxy[0]}/readyz
TEXT
say "running; ctrl-C ends everything"
# Whoever dies meanwhile may: that is what this is for.
while :; do
    sleep 1 &
    wait "$!" || true
done
