use super::*;
use crate::domain::{Money, Usage};

/// 2026-11-21T00:00:00Z
const NOW: UnixMillis = UnixMillis::from_seconds(1_795_219_200);

fn usd(text: &str) -> Money {
    Money::parse_usd(text).expect(text)
}

fn million_in() -> Usage {
    Usage { in_text: 1_000_000, ..Usage::default() }
}

fn input_price(table: &Pricing, model: &str) -> Option<Money> {
    // 100 000 tokens stay below every long-context threshold.
    let usage = Usage { in_text: 100_000, ..Usage::default() };
    table.price("openai", model, NOW, None).map(|p| p.cost(&usage))
}

#[test]
fn shipped_table_is_sound_and_dated() {
    let table = Pricing::shipped();
    assert_eq!(table.generated_at(), "2026-11-21T00:00:00Z");
    for (provider, least) in [("openai", 250), ("anthropic", 30), ("azure", 200), ("bedrock", 400), ("deepinfra", 130)]
    {
        let names = table.providers.get(provider).map_or(0, HashMap::len);
        assert!(names >= least, "{provider} has {names} names");
    }
}

#[test]
fn names_match_exactly_by_alias_or_without_date() {
    let table = Pricing::shipped();
    for (model, price) in [
        ("gpt-4o", Some("0.25")),
        ("gpt-4o-2024-08-06", Some("0.25")),
        // This snapshot has its own price.
        ("gpt-4o-2024-05-13", Some("0.5")),
        ("gpt-4o-2031-01-01", Some("0.25")),
        ("gpt-4o-20310101", Some("0.25")),
        ("gpt-4o@20310101", Some("0.25")),
        ("gpt-6.1-sol-2026-09-29", Some("0.2")),
        ("ft:gpt-4o-mini-2024-07-18:acme:bot:abc", Some("0.03")),
        ("ft:gpt-3.5-turbo-0125:acme::xyz", Some("0.3")),
        ("gpt-4o-super", None),
        ("gpt-4o-2024-08", None),
        ("gpt", None),
        ("GPT-4O", None),
        // No price for this fine-tuned base: never the base's own.
        ("ft:gpt-5:acme:bot:abc", None),
        ("ft:", None),
        ("", None),
        ("-2024-08-06", None),
        ("é-2024-08-06", None),
        ("gpt-4o-2024-08-0é", None),
    ] {
        assert_eq!(input_price(&table, model), price.map(usd), "{model}");
    }
    assert!(table.price("nobody", "gpt-4o", NOW, None).is_none());
}

#[test]
fn start_of_the_request_decides_at_midnight() {
    let table = Pricing::shipped();
    let change = raw::moment("2025-06-10", "").expect("date");
    let before = UnixMillis(change.0 - 1);
    let at = |when| table.price("openai", "o3", when, None).map(|p| p.cost(&million_in()));
    assert_eq!(at(before), Some(usd("10")));
    assert_eq!(at(change), Some(usd("2")));
}

#[test]
fn dates_are_moments() {
    for (text, seconds) in [
        ("1970-01-01", Some(0)),
        ("2000-02-29", Some(951_782_400)),
        ("2026-11-21", Some(1_795_219_200)),
        ("2026-11-21T12:30:05Z", Some(1_795_264_205)),
        ("2026-02-29", None),
        ("2026-13-01", None),
        ("2026-1-1", None),
        ("2026-11-21T25:00:00Z", None),
        ("2026-11-21T12:30:05", None),
        ("soon", None),
    ] {
        assert_eq!(raw::moment(text, "").ok(), seconds.map(UnixMillis::from_seconds), "{text}");
    }
}

#[test]
fn operators_file_wins_and_keeps_limits() {
    let json = r#"{"schema_version":1,"entries":[
        {"provider":"openai","id":"gpt-4o","rates":{"input":"1","output":"2"}},
        {"provider":"openai","id":"house-model","aliases":["hm"],"rates":{"input":"7"},"limits":{"output":99}}]}"#;
    let table = Pricing::shipped().with_overrides(json).expect("sound");
    assert_eq!(input_price(&table, "gpt-4o"), Some(usd("0.1")));
    assert_eq!(input_price(&table, "gpt-4o-2024-08-06"), Some(usd("0.1")), "an alias follows its model");
    assert_eq!(input_price(&table, "gpt-4o-2024-05-13"), Some(usd("0.5")), "an own price stays");
    assert_eq!(input_price(&table, "hm"), Some(usd("0.7")));
    let limits = |model| table.price("openai", model, NOW, None).map(|p| p.limits());
    assert_eq!(limits("gpt-4o"), Some(ModelLimits { input: Some(128_000), output: Some(16_384) }));
    assert_eq!(limits("hm"), Some(ModelLimits { input: None, output: Some(99) }));
}

#[test]
fn unsound_files_are_refused_with_the_name_at_fault() {
    let entry = |body: &str| format!(r#"{{"schema_version":1,"entries":[{{"provider":"openai","id":"m",{body}}}]}}"#);
    for (json, said) in [
        (r#"{"schema_version":2,"entries":[]}"#.to_owned(), "version 2"),
        ("[]".to_owned(), "expected form"),
        (entry(r#""rates":{"input":"-1"}"#), "openai m: input"),
        (entry(r#""rates":{"input":"1e3"}"#), "openai m: input"),
        (entry(r#""rates":{"imput":"1"}"#), "imput"),
        (entry(r#""rates":{"input":1.5}"#), "expected form"),
        (entry(r#""regex":["^m.*"]"#), "aliases"),
        (entry(r#""valid_from":"soon""#), "valid_from"),
        (entry(r#""variants":[{"when":{"moon":"full"}}]"#), "moon=full"),
        (entry(r#""variants":[{"when":{"speed":"fast"},"long":{"rates":{}}}]"#), "long-context"),
        (entry(r#""multipliers":{"regional":"1.00001"}"#), "multipliers.regional"),
        (entry(r#""aliases":["m"]"#), "m has two prices"),
    ] {
        let error = Pricing::shipped().with_overrides(&json).expect_err(&json).to_string();
        assert!(error.contains(said), "{error} lacks {said}");
    }
}

#[test]
fn setting_wins_over_the_table() {
    let costs = CostMap {
        prompt_cost_per_model: BTreeMap::from([("gpt-4o".to_owned(), 0.001), ("free".to_owned(), 0.0)]),
        completion_cost_per_model: BTreeMap::from([("gpt-4o".to_owned(), 0.002), ("free".to_owned(), 0.0)]),
        embeddings_cost_per_model: BTreeMap::from([("emb".to_owned(), 0.5)]),
    };
    let table = Pricing::shipped();
    let usage = Usage { in_text: 500, cache_read_text: 500, out_text: 1000, web_search: 1, ..Usage::default() };
    let cost = |model| table.price("openai", model, NOW, Some(&costs)).map(|p| p.cost(&usage));
    assert_eq!(cost("gpt-4o"), Some(usd("0.013")), "flat: cached tokens cost the prompt rate; searches the table's");
    assert_eq!(cost("free"), Some(Money::ZERO), "an explicit zero counts");
    assert_eq!(cost("emb"), Some(usd("0.5")));
    assert_eq!(cost("gpt-5"), table.price("openai", "gpt-5", NOW, None).map(|p| p.cost(&usage)));
    assert_eq!(cost("nobody"), None);
    let limits = table.price("openai", "gpt-4o", NOW, Some(&costs)).map(|p| p.limits().output);
    assert_eq!(limits, Some(Some(16_384)));
}

#[test]
fn many_small_requests_are_no_long_prompt() {
    let price = Pricing::shipped().price("openai", "gpt-5.4", NOW, None).unwrap();
    let sum = Usage { in_text: 200_000, cache_read_text: 100_000, out_text: 1000, many: true, ..Usage::default() };
    assert_eq!(price.cost(&sum), usd("0.54"));
    assert_eq!(price.cost(&Usage { many: false, ..sum }), usd("1.0725"), "one prompt of that size is");
}
