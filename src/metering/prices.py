#!/usr/bin/env python3
"""Writes prices.json from two published price data sets, and says what changed.

Primary: genai-prices (exact decimals, dated prices, tiers as data). Secondary: litellm, of which only the
price file is read, never the code. Neither package is imported: the first one's data is a Python literal that is
read as a syntax tree, the second one's is JSON. Facts are taken over, no files.

Fails (exit 1, nothing written) when both know a rate, differ, and prices.allow does not say which one to use.
Usage: prices.py [--check]   --check compares with the committed file and writes nothing.
"""
import ast
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

GENAI = ("genai-prices", "0.2.3")
LITELLM = ("litellm", "1.109.1")
# The day on which the two versions were compared; part of the output so that the same input gives the same bytes.
GENERATED_AT = "2026-11-21T00:00:00Z"

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "prices.json"
ALLOW = HERE / "prices.allow"
MILLION = Decimal(1_000_000)

# How long a cache write lives when a source only says "write".
WRITE = {"openai": "cache_write_30m", "azure": "cache_write_30m", "deepinfra": "cache_write_5m",
         "anthropic": "cache_write_5m", "bedrock": "cache_write_5m", "gemini": "cache_write_5m"}
# What the primary calls a provider whose models it has.
GENAI_SOURCES = {"openai": "openai", "anthropic": "anthropic", "bedrock": "aws", "gemini": "google"}

GENAI_RATES = {
    "input_mtok": "input", "output_mtok": "output", "cache_read_mtok": "cache_read",
    "cache_write_5m_mtok": "cache_write_5m", "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio", "output_audio_mtok": "output_audio",
    "input_image_mtok": "input_image", "output_image_mtok": "output_image",
    "cache_audio_read_mtok": "cache_read_audio", "cache_image_read_mtok": "cache_read_image",
}
GENAI_UNITS = {
    "web_searches_kcount": ("web_search", Decimal(1000)), "storage_searches_kcount": ("file_search", Decimal(1000)),
    "input_mchars": ("char", MILLION), "input_audio_hours": ("second_in", Decimal(3600)),
    "audio_hours": ("second_session", Decimal(3600)),
}
LITELLM_RATES = {
    "input_cost_per_token": "input", "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read", "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "cache_creation_input_token_cost_above_12hr": "cache_write_12h",
    "input_cost_per_audio_token": "input_audio", "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image", "output_cost_per_image_token": "output_image",
    "cache_read_input_audio_token_cost": "cache_read_audio", "cache_read_input_image_token_cost": "cache_read_image",
}
LITELLM_FIELD = re.compile(r"^(.*?)(?:_above_(\d+)k_tokens)?(?:_(batches|flex|priority|ultrafast))?$")
SELECTOR = {"batches": ("processing", "batch"), "flex": ("service_tier", "flex"),
            "priority": ("service_tier", "priority"), "ultrafast": ("service_tier", "ultrafast")}
IMAGE_KEY = re.compile(r"^(?:(low|medium|high|standard|hd)/)?(\d+)-x-(\d+)/(.+)$")


def text(value):
    """A decimal as plain text, at most 16 fractional digits, no exponent, no trailing zeros."""
    value = Decimal(value).quantize(Decimal(1).scaleb(-16), ROUND_HALF_UP)
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def per_million(usd_per_token):
    """Doubles such as 1.3750000000000002e-06 are cut to ten digits per million tokens."""
    return (Decimal(repr(usd_per_token)) * MILLION).quantize(Decimal(1).scaleb(-10), ROUND_HALF_UP).normalize()


# --- sources -----------------------------------------------------------------------------------------------------

def literal(node):
    """The value of a data expression: constants, containers, and calls as dicts of their keywords."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {literal(k): literal(v) for k, v in zip(node.keys, node.values)}
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if name == "Decimal":
            return Decimal(literal(node.args[0]))
        if name == "date":
            year, month, day = (literal(arg) for arg in node.args)
            return f"{year:04}-{month:02}-{day:02}"
        fields = {k.arg: literal(k.value) for k in node.keywords}
        fields["kind"] = name
        return fields
    raise SystemExit(f"unexpected syntax in the price data: {ast.dump(node)[:200]}")


def load_sources():
    with tempfile.TemporaryDirectory() as folder:
        pins = [f"{name}=={version}" for name, version in (GENAI, LITELLM)]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, *pins], check=True)
        wheels = {path.name.split("-")[0]: zipfile.ZipFile(path) for path in Path(folder).glob("*.whl")}
        data = wheels["genai_prices"].read("genai_prices/data.py").decode()
        litellm = json.loads(wheels["litellm"].read("litellm/model_prices_and_context_window_backup.json"))
    for statement in ast.parse(data).body:
        if isinstance(statement, ast.AnnAssign) and statement.target.id == "providers":
            return {p["id"]: p for p in literal(statement.value)}, litellm
    raise SystemExit("no price data found")


def matches(clause, name):
    name, kind = name.lower(), clause["kind"]
    if kind == "ClauseOr":
        return any(matches(c, name) for c in clause["or_"])
    if kind == "ClauseAnd":
        return all(matches(c, name) for c in clause["and_"])
    if kind == "ClauseRegex":
        return re.search(clause["regex"], name) is not None
    wanted = next(v for k, v in clause.items() if k != "kind").lower()
    return {"ClauseEquals": name == wanted, "ClauseStartsWith": name.startswith(wanted),
            "ClauseEndsWith": name.endswith(wanted), "ClauseContains": wanted in name}[kind]


def spelled_out(clause):
    """Names that a match clause gives in full."""
    if clause["kind"] == "ClauseEquals":
        return [clause["equals"]]
    return [name for c in clause.get("or_", []) for name in spelled_out(c)]


# --- one shape for both ------------------------------------------------------------------------------------------
# record: rates {name: Decimal}, long {threshold: {name: Decimal}}, units, variants {(key, value): (rates, long)}

def genai_rates(prices, provider):
    rates, long, units = {}, {}, {}
    for field, value in prices.items():
        name = WRITE[provider] if field == "cache_write_mtok" else GENAI_RATES.get(field)
        if field in GENAI_UNITS and not isinstance(value, dict):
            unit, per = GENAI_UNITS[field]
            units[unit] = value / per
        if name is None:
            continue
        if isinstance(value, dict):
            (tier,) = value["tiers"]
            rates[name] = value["base"]
            long.setdefault(tier["start"], {})[name] = tier["price"]
        else:
            rates[name] = value
    return rates, long, units


def genai_periods(model, provider):
    """(valid_from, record) in order of time."""
    prices = model["prices"]
    dated = prices if isinstance(prices, list) else [{"prices": prices}]
    variants = {}
    for variant in model.get("price_variants") or []:
        # The start of a variant is the day somebody checked it, not the day it began: it counts from ever.
        rates, long, _ = genai_rates(variant["prices"], provider)
        ((key, value),) = variant["when"].items()
        if rates:
            variants[(key, value)] = (rates, long)
    for period in dated:
        rates, long, units = genai_rates(period["prices"], provider)
        start = (period.get("constraint") or {}).get("start_date")
        yield start, {"rates": rates, "long": long, "units": units, "variants": variants}


def litellm_record(entry, provider):
    rates, long, units, variants = {}, {}, {}, {}
    for field, value in entry.items():
        base, above, selector = LITELLM_FIELD.match(field).groups()
        name = LITELLM_RATES.get(base)
        if name is None or not isinstance(value, (int, float)):
            continue
        name = WRITE[provider] if name == "cache_write" else name
        target = rates, long
        if selector:
            target = variants.setdefault(SELECTOR[selector], ({}, {}))
        if above:
            target[1].setdefault(int(above) * 1000, {})[name] = per_million(value)
        else:
            target[0][name] = per_million(value)
    search = entry.get("search_context_cost_per_query")
    if search:
        units["web_search"] = Decimal(repr(search["search_context_size_medium"]))
    simple = [("input_cost_per_character", "char"), ("input_cost_per_query", "query"),
              ("code_interpreter_cost_per_session", "code_session")]
    if entry.get("mode") == "audio_transcription":
        simple.append(("input_cost_per_second", "second_in"))
    if entry.get("mode") == "realtime":
        simple.append(("input_cost_per_second", "second_session"))
    for field, unit in simple:
        if entry.get(field):
            units[unit] = Decimal(repr(entry[field]))
    return {"rates": rates, "long": long, "units": units, "variants": variants}


def limits_of(entry):
    limits = {}
    for ours, theirs in (("input", "max_input_tokens"), ("output", "max_output_tokens")):
        value = entry.get(theirs)
        if isinstance(value, int) and value > 0:
            limits[ours] = value
    return limits


def flags_of(entry):
    flags = {}
    if entry.get("supports_reasoning"):
        flags["reasoning"] = True
    if "supports_sampling_params" in entry:
        flags["sampling_params"] = entry["supports_sampling_params"]
    return flags


def multipliers_of(entry, provider):
    multipliers = {}
    uplift = entry.get("regional_processing_uplift_multiplier_eu")
    if uplift:
        multipliers["regional"] = Decimal(repr(uplift))
    geo = (entry.get("provider_specific_entry") or {}).get("us")
    if geo and provider == "anthropic":
        multipliers["geo_us"] = Decimal(repr(geo))
    return multipliers


def flat(record):
    """Every number of a record under one path, for comparing."""
    paths = {f"rates.{k}": v for k, v in record["rates"].items()}
    paths |= {f"long.{t}.{k}": v for t, rates in record["long"].items() for k, v in rates.items()}
    paths |= {f"units.{k}": v for k, v in record["units"].items()}
    for (key, value), (rates, long) in record["variants"].items():
        paths |= {f"{key}={value}.{k}": v for k, v in rates.items()}
        paths |= {f"{key}={value}.long.{t}.{k}": v for t, tier in long.items() for k, v in tier.items()}
    return paths


class Allowed:
    """prices.allow: `provider id-glob path-glob source  # reason`, source = genai-prices, litellm, dearer."""

    def __init__(self):
        self.rules, self.used, self.open = [], set(), []
        for number, line in enumerate(ALLOW.read_text().splitlines(), 1):
            words = line.split("#")[0].split()
            if words:
                provider, name, path, source = words
                self.rules.append((number, provider, name, path, source))

    def pick(self, provider, name, path, genai, litellm):
        from fnmatch import fnmatchcase
        for number, want, names, paths, source in self.rules:
            if want == provider and fnmatchcase(name, names) and fnmatchcase(path, paths):
                self.used.add(number)
                return {"genai-prices": genai, "litellm": litellm, "dearer": max(genai, litellm)}[source]
        self.open.append(f"{provider} {name} {path}: {GENAI[0]} {text(genai)}, {LITELLM[0]} {text(litellm)}")
        return genai

    def unused(self):
        return [rule for rule in self.rules if rule[0] not in self.used]


FALLBACK = {"output_image": "output", "output_audio": "output", "input_image": "input", "input_audio": "input"}


def without_repeats(genai, litellm):
    """Drops what the secondary only says in other words: image output at the price that the primary calls output
    (kept, it would hide the primary's batch price), and a session price of a model that bills input seconds."""
    def kept(rates, primary):
        return {k: v for k, v in rates.items()
                if not (k in FALLBACK and k not in primary and primary.get(FALLBACK[k]) == v)}
    genai, litellm = dict(genai), dict(litellm)
    litellm["rates"] = kept(litellm["rates"], genai["rates"])
    if "second_in" in litellm["units"] and "second_session" not in litellm["units"]:
        genai["units"] = {k: v for k, v in genai["units"].items() if k != "second_session"}
    return genai, litellm


def merged(provider, name, genai, litellm, allowed):
    """Both records into one; the primary's numbers stay unless the allow file says otherwise."""
    genai, litellm = without_repeats(genai, litellm)
    both = set(flat(genai)) & set(flat(litellm))
    chosen = {}
    for path in both:
        ours, theirs = flat(genai)[path], flat(litellm)[path]
        chosen[path] = ours if ours == theirs else allowed.pick(provider, name, path, ours, theirs)

    def union(prefix, ours, theirs):
        return {k: chosen.get(f"{prefix}.{k}", ours.get(k, theirs.get(k))) for k in {**theirs, **ours}}

    def tiers(prefix, ours, theirs, flat_rates):
        # A rate that the primary gives flat stays flat: it has no long price.
        out = {}
        for threshold in {*ours, *theirs}:
            mine = ours.get(threshold, {})
            other = {k: v for k, v in theirs.get(threshold, {}).items() if ours or k not in flat_rates}
            rates = union(f"{prefix}.{threshold}", mine, other)
            if rates:
                out[threshold] = rates
        return out

    variants = {}
    for key in {*genai["variants"], *litellm["variants"]}:
        label = "=".join(key)
        ours, theirs = genai["variants"].get(key, ({}, {})), litellm["variants"].get(key, ({}, {}))
        variants[key] = (union(label, ours[0], theirs[0]), tiers(f"{label}.long", ours[1], theirs[1], ours[0]))
    fast, priority = ("service_tier", "fast"), ("service_tier", "priority")
    if provider == "openai" and fast in variants and priority in variants:
        variants[fast] = variants[priority]  # two names of one tier; only one source knows both
    return {
        "rates": union("rates", genai["rates"], litellm["rates"]),
        "long": tiers("long", genai["long"], litellm["long"], genai["rates"]),
        "units": union("units", genai["units"], litellm["units"]),
        "variants": variants,
    }


# --- names -------------------------------------------------------------------------------------------------------

def litellm_names(litellm):
    """(provider, region, id) -> entry. Image sizes are collected apart, because there they are part of the key."""
    names, images = {}, {}
    prefixes = {"openai": ("openai", "openai/"), "anthropic": ("anthropic", "anthropic/"), "azure": ("azure", "azure/"),
                "deepinfra": ("deepinfra", "deepinfra/"), "bedrock": ("bedrock", "bedrock/"),
                "bedrock_converse": ("bedrock", "bedrock/"), "gemini": ("gemini", "gemini/")}
    for key, entry in litellm.items():
        if entry.get("litellm_provider") not in prefixes or entry.get("mode") == "search":
            continue
        provider, prefix = prefixes[entry["litellm_provider"]]
        name, region = key.removeprefix(prefix), None
        if provider == "openai" and name in ("container",):
            continue
        if provider == "gemini" and not is_served_gemini(name):
            continue
        if image := IMAGE_KEY.match(name):
            quality, width, height, model = image.groups()
            per_image = Decimal(repr(entry.get("input_cost_per_image", entry.get("output_cost_per_image", 0.0))))
            if not per_image:
                # A price per pixel is a rounded price per image divided: four digits give that back.
                pixels = Decimal(int(width) * int(height)) * Decimal(repr(entry.get("input_cost_per_pixel", 0.0)))
                per_image = pixels.quantize(Decimal(1).scaleb(-4), ROUND_HALF_UP)
            if per_image:
                usd = per_image.normalize()
                images.setdefault((provider, model), []).append((quality, f"{width}x{height}", usd))
            continue
        if provider == "azure" and "/" in name:
            region, name = name.split("/", 1)
            if region not in ("eu", "us", "global", "global-standard") or "/" in name:
                continue
            region = None if region.startswith("global") else region
            if region is None and (provider, None, name) in names:
                continue
        if provider == "bedrock" and "/" in name:
            region, name = name.split("/", 1)
            if "/" in name or not re.match(r"^[a-z]+(-[a-z]+)+-\d$", region):
                continue  # provisioned throughput by commitment, image sizes
        names[(provider, region, name)] = entry
    return names, images


def is_served_gemini(name):
    """Models that write or embed; films and pictures are made by operations that are not served."""
    return re.match(r"^(gemini|gemma|text-embedding|embedding)-[a-z0-9.@-]+$", name) is not None


def empty():
    return {"rates": {}, "long": {}, "units": {}, "variants": {}}


def records(genai, litellm, allowed):
    """(provider, region, id, valid_from, record, extras), one per name and period."""
    names, images = litellm_names(litellm)
    sessions = {e["code_interpreter_cost_per_session"] for e in litellm.values()
                if e.get("litellm_provider") == "openai" and e.get("code_interpreter_cost_per_session")}
    wanted = dict.fromkeys(names)
    for provider, source in GENAI_SOURCES.items():
        for model in genai[source]["models"]:
            for name in [model["id"], *spelled_out(model["match"])]:
                if provider == "gemini" and not is_served_gemini(name):
                    continue
                if matches(model["match"], name) and not name.endswith(("-", ".")) and ".ft-" not in name:
                    wanted.setdefault((provider, None, name))
    for provider, model in images:
        wanted.setdefault((provider, None, model))
    for provider, region, name in sorted(wanted, key=lambda k: (k[0], k[2], k[1] or "")):
        entry = names.get((provider, region, name))
        second = litellm_record(entry, provider) if entry else empty()
        model, periods = None, [(None, empty())]
        if region is None and provider in GENAI_SOURCES:
            model = next((m for m in genai[GENAI_SOURCES[provider]]["models"] if matches(m["match"], name)), None)
            # A fuzzy clause must not price what it does not spell out: only if the secondary knows the name too.
            if model:
                periods = list(genai_periods(model, provider))
        extras = {"limits": limits_of(entry or {}), "flags": flags_of(entry or {}),
                  "multipliers": multipliers_of(entry or {}, provider),
                  "images": sorted(images.get((provider, name), []), key=str)}
        begun = [number for number, (start, _) in enumerate(periods) if (start or "") <= GENERATED_AT[:10]]
        for number, (start, primary) in enumerate(periods):
            # The secondary knows only today's price: other periods are the primary's alone.
            other = second if begun and number == begun[-1] else empty()
            record = merged(provider, name, primary, other, allowed)
            if provider == "openai" and "file_search" in record["units"] and sessions:
                record["units"]["code_session"] = Decimal(repr(max(sessions)))
            if flat(record) or extras["images"]:
                both = model is not None and entry is not None and other is second
                origin = "both" if both else GENAI[0] if model else LITELLM[0]
                until = periods[number + 1][0] if number + 1 < len(periods) else None
                group = model["id"] if model else name
                yield provider, region, name, group, start, until, record, extras, origin


# --- output ------------------------------------------------------------------------------------------------------

def as_text(rates):
    return {k: text(rates[k]) for k in sorted(rates)}


def long_json(tiers, with_threshold=True):
    if not tiers:
        return None
    if len(tiers) > 1:
        raise SystemExit(f"more than one long-context tier: {tiers}")
    ((threshold, rates),) = tiers.items()
    return ({"threshold": threshold} if with_threshold else {}) | {"rates": as_text(rates)}


def body(start, until, record, extras, origin):
    out = {"valid_from": start, "valid_to": until, "rates": as_text(record["rates"]), "long": long_json(record["long"])}
    units = as_text(record["units"])
    if extras["images"]:
        units["image"] = [{"size": size, "quality": quality, "usd": text(usd)} for quality, size, usd in extras["images"]]
    out["units"] = units
    out["variants"] = [
        {k: v for k, v in {"when": {key: value}, "rates": as_text(rates), "long": long_json(long, False)}.items() if v}
        for (key, value), (rates, long) in sorted(record["variants"].items())
    ]
    out["multipliers"] = as_text(extras["multipliers"])
    out["limits"] = extras["limits"]
    out["flags"] = extras["flags"]
    out["provenance"] = origin
    return {k: v for k, v in out.items() if v not in (None, {}, [])} | {"rates": out["rates"]}


def build(genai, litellm, allowed):
    groups = {}
    for provider, region, name, group, start, until, record, extras, origin in records(genai, litellm, allowed):
        data = body(start, until, record, extras, origin)
        same = json.dumps({k: v for k, v in data.items() if k != "provenance"}, sort_keys=True)
        groups.setdefault((provider, region or "", group, start or "", same), (data, []))[1].append((name, origin))
    entries = []
    for (provider, region, group, _, _), (data, members) in groups.items():
        names = sorted(name for name, _ in members)
        head = group if group in names else min(names, key=lambda n: (len(n), n))
        if any(origin == "both" for _, origin in members):
            data["provenance"] = "both"
        entry = {"provider": provider, "id": head}
        if region:
            entry["region"] = region
        aliases = [name for name in names if name != head]
        if aliases:
            entry["aliases"] = aliases
        entries.append(entry | data)
    entries.sort(key=lambda e: (e["provider"], e["id"], e.get("region", ""), e.get("valid_from", "")))
    return entries


def render(entries):
    head = {"schema_version": 1, "generated_at": GENERATED_AT,
            "sources": [{"name": n, "version": v} for n, v in (GENAI, LITELLM)]}
    lines = ",\n".join(json.dumps(e, separators=(",", ":"), ensure_ascii=False) for e in entries)
    return json.dumps(head, separators=(",", ":"))[:-1] + ',"entries":[\n' + lines + "\n]}\n"


def report(old, new):
    def index(entries):
        return {(e["provider"], e.get("region", ""), name, e.get("valid_from", "")): e
                for e in entries for name in [e["id"], *e.get("aliases", [])]}
    before, after = index(old), index(new)
    skip = ("aliases", "id", "provenance")
    plain = lambda e: {k: v for k, v in e.items() if k not in skip}
    shown = [("new", sorted(after.keys() - before.keys())), ("gone", sorted(before.keys() - after.keys())),
             ("changed", sorted(k for k in before.keys() & after.keys() if plain(before[k]) != plain(after[k])))]
    for label, keys in shown:
        print(f"{label}: {len(keys)}")
        for key in keys[:40]:
            print("   ", " ".join(part for part in key if part))
    return any(keys for _, keys in shown)


def main():
    allowed = Allowed()
    genai, litellm = load_sources()
    entries = build(genai, litellm, allowed)
    old = json.loads(OUTPUT.read_text())["entries"] if OUTPUT.exists() else []
    changed = report(old, entries)
    print(f"disagreeing, not in {ALLOW.name}: {len(allowed.open)}")
    for line in sorted(set(allowed.open)):
        print("   ", line)
    for rule in allowed.unused():
        print(f"unused rule in {ALLOW.name}, line {rule[0]}")
    if allowed.open:
        return 1
    if "--check" in sys.argv[1:]:
        return 1 if changed or OUTPUT.read_text() != render(entries) else 0
    OUTPUT.write_text(render(entries))
    print(f"wrote {len(entries)} entries, {OUTPUT.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
