"""Runs named cases and prints one JSON line for each; shared by the checks with Python clients.

Knows nothing of any SDK. The last line reads "N passed, N failed"; the exit status is 1 when a case failed or none ran.
"""

import argparse
import contextlib
import http.client
import json
import sys
import time
import traceback
import urllib.parse
import urllib.request
from decimal import Decimal


class Mismatch(Exception):
    """The answer was not what it must be."""


def expect(have, want, what):
    if have != want:
        raise Mismatch(f"{what}: have {have!r}, want {want!r}")


def expect_true(holds, what):
    if not holds:
        raise Mismatch(what)


def arguments(about):
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--base-url", required=True, help="what the SDK gets as base_url, with /v1")
    parser.add_argument("--key", required=True)
    parser.add_argument("--upstream", help="root URL of the local upstream: scripts it and reads its counters")
    parser.add_argument("--admin", help="root URL of the configuration API: checks the cost of each vector")
    parser.add_argument("--admin-pass", default="")
    parser.add_argument("--event-prefix", help="sends x-custom-event-id: PREFIX-CASE (a gateway is in between)")
    parser.add_argument("--poor-key", help="a key whose money is spent")
    parser.add_argument("--prices", type=json.loads, default={}, help="USD per million tokens, in and out, of each model")
    parser.add_argument("--only", action="append", default=[], help="run these cases only")
    parser.add_argument("--skip", action="append", default=[])
    return parser.parse_args()


def run(cases, args):
    """Each case is a function without arguments that returns facts for its line, or raises."""
    passed = failed = 0
    for name, case in cases:
        if (args.only and name not in args.only) or name in args.skip:
            continue
        began = time.monotonic()
        line = {"case": name}
        try:
            line.update(case() or {})
            line["ok"] = True
            passed += 1
        except Exception as error:
            line["ok"] = False
            line["error"] = f"{type(error).__name__}: {error}"
            if not isinstance(error, Mismatch):
                traceback.print_exc()
            failed += 1
        line["ms"] = round((time.monotonic() - began) * 1000)
        print(json.dumps(line), flush=True)
    print(f"{passed} passed, {failed} failed", flush=True)
    sys.exit(0 if passed and not failed else 1)


def call(url, body=None, headers=None):
    """A plain HTTP call without any SDK; numbers with a fraction come back exact."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"content-type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read(), parse_float=Decimal)


def until(what, look, seconds=5.0):
    """Looks again until it is true; a wait for a condition, not for a time."""
    limit = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > limit:
            raise Mismatch(f"not within {seconds} s: {what}")
        time.sleep(0.02)


class Upstream:
    """The local upstream's own commands."""

    def __init__(self, url):
        self.url = url

    def stats(self):
        return call(f"{self.url}/_stats")

    def script(self, *acts):
        call(f"{self.url}/_script", list(acts))


class Bills:
    """What each call must have cost: prices x tokens of the upstream, to the last digit. Looked up at the end, at once."""

    def __init__(self, args):
        self.args = args
        self.due = {}

    def headers(self, name, model, tokens=None):
        """For a call that the upstream counts `tokens` (input, output) for; without them `used` says it later."""
        custom_id = f"{self.args.event_prefix}-{len(self.due)}-{name}-{model}"
        self.due[custom_id] = (model, tokens)
        return {"x-custom-event-id": custom_id}

    def used(self, headers, tokens):
        """What the client was told, where the upstream counts for itself."""
        custom_id = headers["x-custom-event-id"]
        self.due[custom_id] = (self.due[custom_id][0], tokens)

    def check(self):
        # One connection for all of them.
        address = urllib.parse.urlsplit(self.args.admin).netloc
        with contextlib.closing(http.client.HTTPConnection(address, timeout=10)) as connection:
            for custom_id, (model, tokens) in self.due.items():
                self.settled(connection, custom_id, model, tokens)
        return {"bills": len(self.due)}

    def settled(self, connection, custom_id, model, tokens):
        def look():
            query = urllib.parse.urlencode({"customId": custom_id})
            connection.request("GET", f"/api/events?{query}", headers={"x-api-key": self.args.admin_pass})
            return json.loads(connection.getresponse().read(), parse_float=Decimal)

        (booked,) = until(f"event {custom_id}", look)
        prices = (Decimal(price) / 1_000_000 for price in self.args.prices[model])
        want = (sum(price * count for price, count in zip(prices, tokens)), *tokens)
        have = (booked["cost_in_usd"], booked["prompt_token_count"], booked["completion_token_count"])
        expect((Decimal(have[0]), *have[1:]), want, custom_id)
        expect(booked["flags"], [], f"flags of {custom_id}")


def event(args, custom_id):
    """The one event with this custom id."""
    query = urllib.parse.urlencode({"customId": custom_id})
    headers = {"x-api-key": args.admin_pass} if args.admin_pass else {}
    found = until(f"event {custom_id}", lambda: call(f"{args.admin}/api/events?{query}", headers=headers))
    expect(len(found), 1, f"events with customId {custom_id}")
    return found[0]
