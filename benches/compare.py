"""Compares Tollgate (all checks on) with bare Pingora, nginx and no proxy at all, and prints one table of ratios.

`unified` is the unified API in front of the same upstream, `translated` the same client in front of an upstream of
another form, `routed` a route with two steps of which the first answers, `cached` one that keeps its answers, `shared` a
gateway of its own over Postgres and Redis (whose CPU is not in its figures). Everything runs on this machine over
loopback: a load generator with one thread, the local upstream with one thread, and one proxy at a time under load. The proxies take turns within each round, so that slow drift of the machine hits
all alike; each number is the median of the rounds. CPU time is read from /proc for the proxy's processes only.

Usage: compare.py [--rounds N] [--seconds S] [--targets direct,nginx,bare,tollgate,unified,translated,routed,cached,shared] [--json FILE] [--no-build]
Exit status: 0 measured, 1 something failed (an answer was wrong, a program did not start).
"""

import argparse
import base64
import contextlib
import glob
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TICKS = os.sysconf("SC_CLK_TCK")
UPSTREAM_KEY = "sk-upstream"
GATEWAY_KEY = "gw-bench-1"
# Of the issue: CPU per request of Tollgate against bare Pingora, unary and streamed.
GOAL = 1.25


def body(content, stream=False, **commands):
    """`user` tells the local upstream what to answer."""
    request = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}
    if stream:
        request["stream"] = True
    if commands:
        request["user"] = json.dumps(commands)
    return json.dumps(request)


class Scenario:
    def __init__(self, name, request, connections, measures, stream=False, least=0.5):
        self.name = name
        self.request = request
        self.connections = connections
        self.measures = measures
        self.stream = stream
        # Seconds below which a measurement says nothing: it must hold several whole answers.
        self.least = least


SCENARIOS = [
    Scenario("unary 1 KB", body("hello " * 40, content_bytes=640), 64, ["cpu", "rate"]),
    Scenario("100 KB prompt", body("word " * 20_480, content_bytes=640), 16, ["cpu", "rate"]),
    Scenario("stream of 100, flat out", body("hello", stream=True, chunks=100), 32, ["cpu", "rate"], stream=True),
    # Slow enough that no proxy can put several events into one write.
    Scenario(
        "stream of 100, paced",
        body("hello", stream=True, chunks=100, chunk_delay_ms=2),
        32,
        ["cpu"],
        stream=True,
        least=3.0,
    ),
    Scenario(
        "256 slow streams",
        body("hello", stream=True, chunks=40, chunk_delay_ms=50),
        256,
        ["cpu", "memory"],
        stream=True,
        least=8.0,
    ),
    Scenario("one at a time", body("hello " * 40, content_bytes=640), 1, ["added"]),
]
MEASURES = {
    "cpu": "CPU ms per 1,000",
    "rate": "requests per second",
    "memory": "memory MiB",
    "added": "added p50 us",
}


class Failed(Exception):
    pass


def say(text):
    print(text, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_port(port, process, name, seconds=30):
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise Failed(f"{name} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise Failed(f"{name} does not listen on port {port}")


def family(pid):
    """A process and its children: nginx works in children."""
    pids = [pid]
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError):
                if int(stat(int(entry))[1]) == pid:
                    pids.append(int(entry))
    return pids


def stat(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        # The second field is the program's name in brackets and may hold anything.
        return file.read().rpartition(")")[2].split()


def cpu_seconds(pids):
    return sum(int(fields[11]) + int(fields[12]) for fields in map(stat, pids)) / TICKS


def memory_mib(pids):
    """Proportional set size: pages that workers share count once."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as file:
            total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1))
    return total / 1024


class Peak:
    """The highest memory of some processes while the block runs."""

    def __init__(self, pids):
        self.pids, self.value, self.over = pids, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while not self.over.wait(0.25):
            self.value = max(self.value, memory_mib(self.pids))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


class Target:
    path = "/v1/chat/completions"
    key = UPSTREAM_KEY
    # In place of the request's own.
    model = None

    def __init__(self, name, port, process=None, stream_port=None):
        self.name, self.port, self.process, self.stream_port = name, port, process, stream_port or port


class Machine:
    """Starts the programs and stops them all at the end."""

    def __init__(self, args):
        self.args = args
        self.dir = tempfile.mkdtemp(prefix="tollgate-bench-")
        self.running = []
        self.gateway = None
        self.bin = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release")

    def start(self, name, command, env=None):
        log = open(os.path.join(self.dir, f"{name}.log"), "wb")
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env, cwd=self.dir
        )
        self.running.append(process)
        return process

    def stop(self):
        for process in reversed(self.running):
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def example(self, name):
        return os.path.join(self.bin, "examples", name)

    def log(self, name):
        with contextlib.suppress(OSError), open(os.path.join(self.dir, f"{name}.log"), encoding="utf-8") as file:
            return file.read()[-2000:]
        return ""

    def upstream(self):
        self.upstream_port = free_port()
        address = f"127.0.0.1:{self.upstream_port}"
        command = [self.example("upstream"), "--listen", address, "--key", UPSTREAM_KEY, "--record", "0"]
        wait_port(self.upstream_port, self.start("upstream", command), "upstream")

    def other_upstream(self):
        """One that speaks another form than the client does."""
        self.other_port = free_port()
        address = f"127.0.0.1:{self.other_port}"
        command = [
            self.example("upstream"), "--api", "anthropic", "--listen", address, "--key", UPSTREAM_KEY, "--record", "0",
        ]
        wait_port(self.other_port, self.start("other-upstream", command), "other-upstream")

    def direct(self):
        return Target("direct", self.upstream_port)

    def bare(self):
        port = free_port()
        command = [self.example("bare"), "--listen", f"127.0.0.1:{port}", "--upstream", f"127.0.0.1:{self.upstream_port}"]
        process = self.start("bare", command)
        wait_port(port, process, "bare")
        return Target("bare", port, process)

    def nginx(self):
        port, stream_port = free_port(), free_port()
        with open(os.path.join(ROOT, "benches", "nginx.conf"), encoding="utf-8") as file:
            conf = file.read()
        words = {
            "WORKERS": os.cpu_count(),
            "DIR": self.dir,
            "UPSTREAM": f"127.0.0.1:{self.upstream_port}",
            "LISTEN": f"127.0.0.1:{port}",
            "LISTEN_STREAM": f"127.0.0.1:{stream_port}",
        }
        for word, value in words.items():
            conf = conf.replace(f"@{word}@", str(value))
        if os.geteuid() == 0:
            # Its workers would change to a user who may not read the temporary folder.
            conf = f"user root;\n{conf}"
        path = os.path.join(self.dir, "nginx.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(conf)
        process = self.start("nginx", [nginx_program(), "-c", path, "-p", self.dir, "-e", f"{self.dir}/nginx-start.log"])
        wait_port(port, process, "nginx")
        return Target("nginx", port, process, stream_port)

    def same_gateway(self, name, model, admitted=True):
        """Another way through the gateway that runs already: the unified API."""
        if self.gateway is None:
            raise Failed(f"{name} is measured through tollgate: name that before it")
        target = Target(name, self.gateway.port, self.gateway.process)
        target.key, target.model = GATEWAY_KEY, model
        if admitted:
            self.admit(target)
        return target

    def by_route(self, name, cache):
        """A route of the gateway that runs already."""
        target = self.same_gateway(name, None, admitted=False)
        target.path = f"/api/routes/{name}"
        put(f"{self.admin}/routes", {
            "name": name, "path": f"/{name}", "keyIds": [self.key_id],
            "steps": [{"provider": "openai", "model": model} for model in ("gpt-4o-mini", "gpt-4o")],
            "cacheConfig": {"enabled": cache},
        }, method="POST")
        self.admit(target)
        return target

    def routed(self):
        return self.by_route("routed", False)

    def cached(self):
        return self.by_route("cached", True)

    def unified(self):
        return self.same_gateway("unified", "openai/gpt-4o-mini")

    def translated(self):
        return self.same_gateway("translated", "anthropic/claude-haiku-4-5")

    def tollgate(self):
        self.gateway = self.serve("tollgate", {
            "TOLLGATE_STORE_PATH": os.path.join(self.dir, "tollgate.db"),
            "TOLLGATE_SECURITY_MASTER_KEY_FILE": os.path.join(self.dir, "master.key"),
        })
        return self.gateway

    def shared(self):
        """One of many gateways: the same checks, with counts in Redis and a ledger in Postgres."""
        return self.serve("shared", {
            "TOLLGATE_STORE_URL": self.postgres(),
            "TOLLGATE_COUNTERS_URL": self.redis(),
            "TOLLGATE_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        })

    def redis(self):
        port = free_port()
        command = [need("redis-server", "/usr/bin/redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        wait_port(port, self.start("redis", command), "redis")
        return f"redis://127.0.0.1:{port}"

    def postgres(self):
        data, port = os.path.join(self.dir, "postgres"), free_port()
        os.makedirs(data)
        user = []
        if os.getuid() == 0:
            # It refuses to run as root.
            shutil.chown(data, "postgres", "postgres")
            os.chmod(self.dir, 0o711)
            user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        initdb = need("initdb", "/usr/lib/postgresql/*/bin/initdb")
        command = [*user, initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=data)
        server = os.path.join(os.path.dirname(initdb), "postgres")
        command = [*user, server, "-D", data, "-p", str(port), "-k", data, "-c", "listen_addresses=127.0.0.1"]
        wait_port(port, self.start("postgres", command), "postgres")
        return f"postgres://postgres@127.0.0.1:{port}/postgres"

    def serve(self, name, store):
        port, admin_port = free_port(), free_port()
        # Nothing of the caller's settings: the gateway takes several families of names from its environment.
        env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        env.update(
            TOLLGATE_PROXY_LISTEN=f"127.0.0.1:{port}",
            TOLLGATE_ADMIN_LISTEN=f"127.0.0.1:{admin_port}",
            TOLLGATE_LEDGER_JOURNAL_DIR=os.path.join(self.dir, f"{name}-journal"),
            **store,
            TOLLGATE_PROVIDERS_OPENAI_BASE_URL=f"http://127.0.0.1:{self.upstream_port}",
            TOLLGATE_PROVIDERS_ANTHROPIC_BASE_URL=f"http://127.0.0.1:{self.other_port}",
        )
        process = self.start(name, [os.path.join(self.bin, "tollgate"), "serve"], env)
        wait_port(admin_port, process, name)
        wait_port(port, process, name)
        admin = f"http://127.0.0.1:{admin_port}/api"
        settings = [
            put(f"{admin}/provider-settings", {
                "provider": provider, "name": "bench", "setting": {"apikey": UPSTREAM_KEY},
            })["id"]
            for provider in ("openai", "anthropic")
        ]
        # Every rule is present and none refuses: the work is done, the answer is yes.
        self.admin = admin
        self.key_id = put(f"{admin}/key-management/keys", {
            "name": "bench", "key": GATEWAY_KEY, "settingIds": settings, "tags": ["bench"],
            "rateLimitOverTime": 1_000_000_000, "rateLimitUnit": "d",
            "costLimitInUsd": 1_000_000, "costLimitInUsdOverTime": 1_000_000, "costLimitInUsdUnit": "mo",
        })["keyId"]
        target = Target(name, port, process)
        target.path = "/api/providers/openai/v1/chat/completions"
        target.key = GATEWAY_KEY
        self.admit(target)
        return target

    def admit(self, target):
        """A new key may take a moment to be known."""
        limit = time.monotonic() + 10
        while True:
            result = self.load(target, SCENARIOS[0], seconds=0.2, connections=1, check=False)
            if result and not result["errors"]:
                return
            if time.monotonic() > limit:
                raise Failed(f"{target.name} refuses the bench's requests: {result}\n{self.log('tollgate')}")

    def load(self, target, scenario, seconds, connections=None, check=True):
        path = os.path.join(self.dir, "request.json")
        with open(path, "w", encoding="utf-8") as file:
            request = json.loads(scenario.request)
            if target.model:
                request["model"] = target.model
            file.write(json.dumps(request))
        port = target.stream_port if scenario.stream else target.port
        command = [
            self.example("load"), "--addr", f"127.0.0.1:{port}", "--path", target.path, "--key", target.key,
            "--body-file", path, "--connections", str(connections or scenario.connections),
            "--seconds", str(seconds), "--warmup", str(min(1.0, seconds / 4)),
        ]
        if scenario.stream:
            command.append("--stream")
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 4 + 60)
        result = json.loads(done.stdout) if done.stdout.strip() else None
        if check and (not result or result["errors"] or not result["requests"]):
            raise Failed(f"{target.name}, {scenario.name}: {result or done.stderr}\n{self.log(target.name)}")
        return result

    def measure(self, target, scenario):
        seconds = max(self.args.seconds, scenario.least)
        pids = family(target.process.pid) if target.process else []
        with Peak(pids) as peak:
            before = cpu_seconds(pids)
            result = self.load(target, scenario, seconds)
            cpu = cpu_seconds(pids) - before
        return {
            "cpu": cpu * 1000 / result["complete"] * 1000,
            "rate": result["per_second"],
            "memory": peak.value,
            "p50": result["latency_us"]["p50"],
            "p99": result["latency_us"]["p99"],
        }


def put(url, value, method="PUT"):
    request = urllib.request.Request(
        url, data=json.dumps(value).encode(), method=method, headers={"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {url}: {error.code} {error.read().decode(errors='replace')}") from error


def need(name, elsewhere):
    found = shutil.which(name) or next(iter(sorted(glob.glob(elsewhere), reverse=True)), None)
    if not found:
        raise Failed(f"{name} is missing: tests/tools.sh servers, or leave out the target shared")
    return found


def nginx_program():
    return shutil.which("nginx") or ("/usr/sbin/nginx" if os.path.exists("/usr/sbin/nginx") else None)


def need_nginx():
    if nginx_program():
        return
    command = "apt-get update && apt-get install -y --no-install-recommends nginx-light"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Failed(f"nginx is missing: sudo sh -c '{command}', or leave it out: --targets direct,bare,tollgate")
    say(f"nginx is missing; installing it: {command}")
    say("(Debian may start it as a service on port 80; the bench does not need that one)")
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)


def build(targets):
    command = ["cargo", "build", "--release", "--locked"]
    for example in ["upstream", "load"] + (["bare"] if "bare" in targets else []):
        command += ["--example", example]
    if "tollgate" in targets or "shared" in targets:
        command += ["--bin", "tollgate"]
    say(" ".join(command))
    subprocess.run(command, check=True, cwd=ROOT)


def rounds(machine, targets, scenarios, count):
    """{scenario: {target: [measurement of each round]}}"""
    found = {scenario.name: {target.name: [] for target in targets} for scenario in scenarios}
    for number in range(count):
        for at, scenario in enumerate(scenarios):
            # Each target comes first in turn.
            turn = (number + at) % len(targets)
            for target in targets[turn:] + targets[:turn]:
                result = machine.measure(target, scenario)
                found[scenario.name][target.name].append(result)
                say(
                    f"round {number + 1}/{count}  {scenario.name:24} {target.name:9}"
                    f" {result['rate']:9.0f}/s  p50 {result['p50']:8.0f} us  cpu {result['cpu']:8.2f} ms/1000"
                )
        for scenario in scenarios:
            results = found[scenario.name]
            direct = results["direct"][-1]["p50"] if "direct" in results else 0.0
            for name in results:
                results[name][-1]["added"] = results[name][-1]["p50"] - direct
    return found


def ratio(results, measure, above, below):
    """The median of the rounds' own ratios: what two neighbours in time had in common cancels out."""
    if above not in results or below not in results:
        return None
    pairs = [(a[measure], b[measure]) for a, b in zip(results[above], results[below]) if b[measure] > 0]
    return statistics.median(a / b for a, b in pairs) if pairs else None


RATIOS = [
    ("bare", "nginx"),
    ("tollgate", "nginx"),
    ("tollgate", "bare"),
    ("unified", "bare"),
    ("translated", "bare"),
    ("routed", "bare"),
    ("cached", "bare"),
    ("shared", "tollgate"),
]


def table(found, scenarios, names):
    heads = ["scenario", "measure", *names, *(f"{above}/{below}" for above, below in RATIOS)]
    rows = []
    for scenario in scenarios:
        results = found[scenario.name]
        for measure in scenario.measures:
            row = [scenario.name, MEASURES[measure]]
            for name in names:
                value = statistics.median(result[measure] for result in results[name])
                blank = name == "direct" and measure != "rate"
                row.append("" if blank else f"{value:,.0f}" if value >= 100 else f"{value:.1f}")
            for above, below in RATIOS:
                value = ratio(results, measure, above, below)
                row.append("" if value is None else f"{value:.2f}")
            rows.append(row)
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    lines = []
    for row in [heads, ["-" * width for width in widths], *rows]:
        cells = [cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(zip(row, widths))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(found):
    lines = []
    for name in ("unary 1 KB", "stream of 100, paced"):
        value = ratio(found.get(name, {}), "cpu", "tollgate", "bare")
        if value is not None:
            lines.append(f"CPU of tollgate / bare, {name}: {value:.2f} (goal: at most {GOAL}) {'met' if value <= GOAL else 'MISSED'}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one measurement")
    parser.add_argument("--targets", default="direct,nginx,bare,tollgate,unified,translated,routed,cached,shared")
    parser.add_argument("--only", action="append", default=[], help="part of a scenario's name; may be repeated")
    parser.add_argument("--json", help="also write every measurement to this file")
    parser.add_argument("--no-build", action="store_true", help="take the programs as they are in target/release")
    args = parser.parse_args()
    names = args.targets.split(",")
    scenarios = [one for one in SCENARIOS if not args.only or any(part in one.name for part in args.only)]
    known = {"direct": Machine.direct, "nginx": Machine.nginx, "bare": Machine.bare, "tollgate": Machine.tollgate}
    known.update(unified=Machine.unified, translated=Machine.translated, routed=Machine.routed, cached=Machine.cached)
    known.update(shared=Machine.shared)
    if not scenarios or args.rounds < 1 or not all(name in known for name in names):
        parser.error("nothing to measure")
    if "nginx" in names:
        need_nginx()
    if not args.no_build:
        build(names)
    machine = Machine(args)
    try:
        machine.upstream()
        machine.other_upstream()
        targets = [known[name](machine) for name in names]
        found = rounds(machine, targets, scenarios, args.rounds)
    finally:
        machine.stop()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    print(f"Median of {args.rounds} rounds, {os.cpu_count()} cores; ratios are medians of the rounds' own ratios.\n")
    print(table(found, scenarios, names))
    print(verdict(found))


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        say(f"bench failed: {error}")
        sys.exit(1)
