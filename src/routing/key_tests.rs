use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use uuid::Uuid;

fn parts(body: &[u8]) -> KeyParts<'_> {
    let route = RouteId::from_uuid(Uuid::from_u128(1));
    KeyParts { route, revision: 1, key: Some(KeyId::from_uuid(Uuid::from_u128(2))), form: "chat", headers: &[], body }
}

fn key(body: &str) -> CacheKey {
    cache_key(&parts(body.as_bytes())).unwrap_or_else(|| panic!("no key: {body}"))
}

fn none(body: &str) {
    assert_eq!(cache_key(&parts(body.as_bytes())), None, "{body}");
}

#[test]
fn c144_requests_that_differ_only_in_temperature_tools_images_or_model_parameters_do_not_share() {
    let image = |data: &str| {
        let url = format!("data:image/png;base64,{data}");
        json!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "text", "text": "hi"},
            {"type": "image_url", "image_url": {"url": url}},
        ]}]})
        .to_string()
    };
    let tool = |name: &str, of: &str| {
        let parameters = json!({"type": "object", "properties": {"a": {"type": of}}});
        let function = json!({"name": name, "parameters": parameters});
        json!({"model": "m", "messages": [], "tools": [{"type": "function", "function": function}]}).to_string()
    };
    let bodies = [
        r#"{"model":"m","messages":[]}"#.to_owned(),
        r#"{"model":"n","messages":[]}"#.to_owned(),
        r#"{"model":"m","messages":[],"temperature":0}"#.to_owned(),
        r#"{"model":"m","messages":[],"temperature":0.2}"#.to_owned(),
        r#"{"model":"m","messages":[],"temperature":0.20000000000000001}"#.to_owned(),
        r#"{"model":"m","messages":[],"top_p":0.2}"#.to_owned(),
        r#"{"model":"m","messages":[],"max_tokens":null}"#.to_owned(),
        r#"{"model":"m","messages":[],"max_tokens":1}"#.to_owned(),
        r#"{"model":"m","messages":[],"max_tokens":"1"}"#.to_owned(),
        r#"{"model":"m","messages":[],"stop":["a","b"]}"#.to_owned(),
        r#"{"model":"m","messages":[],"stop":["b","a"]}"#.to_owned(),
        r#"{"model":"m","messages":[],"stop":["ab"]}"#.to_owned(),
        r#"{"model":"m","messages":[],"stop":[["a","b"]]}"#.to_owned(),
        r#"{"model":"m","messages":[],"seed":1}"#.to_owned(),
        r#"{"model":"m","messages":[],"seed":2}"#.to_owned(),
        r#"{"model":"m","messages":[],"response_format":{"type":"json_object"}}"#.to_owned(),
        r#"{"model":"m","messages":[],"stream_options":{"include_usage":true}}"#.to_owned(),
        r#"{"model":"m","messages":[],"metadata":{"user":"a"}}"#.to_owned(),
        r#"{"model":"m","messages":[],"metadata":{"user":"b"}}"#.to_owned(),
        image("iVBORw0KGgo1"),
        image("iVBORw0KGgo2"),
        tool("f", "string"),
        tool("g", "string"),
        tool("f", "number"),
    ];
    let keys: HashSet<CacheKey> = bodies.iter().map(|body| key(body)).collect();
    assert_eq!(keys.len(), bodies.len());
}

#[test]
fn framing_user_order_space_and_escapes_do_not_count() {
    let same = [
        r#"{"model":"m/é😀","messages":[{"role":"user","content":"a\nb"}]}"#,
        r#"{"messages":[{"content":"a\nb","role":"user"}],"model":"m/é😀"}"#,
        " {\t\"messages\" : [ {\"content\":\"a\\nb\" ,\r\n\"role\":\"user\" } ] , \"model\":\"m/é😀\" }\n",
        r#"{"m\u006fdel":"m\/\u00e9\ud83D\uDE00","messages":[{"role":"user","content":"a\u000ab"}]}"#,
        r#"{"model":"m/é😀","messages":[{"role":"user","content":"a\nb"}],"stream":true,"user":"x"}"#,
        r#"{"user":{"a":[1]},"str\u0065am":false,"stream":1,"model":"m/é😀","messages":[{"role":"user","content":"a\nb"}]}"#,
    ];
    for body in same {
        assert_eq!(key(body), key(same[0]), "{body}");
    }
    assert_ne!(key(r#"{"a":{"stream":true}}"#), key(r#"{"a":{"stream":false}}"#), "only the top ones");
    assert_eq!(key("{}"), key(r#"{"stream":true}"#));
}

#[test]
fn a_repeated_name_is_not_a_single_one() {
    let (one, two) = (key(r#"{"a":1}"#), key(r#"{"a":2}"#));
    let twice = [r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#, r#"{"a":2,"a":2}"#, r#"{"a":1,"a":1}"#].map(key);
    let all: HashSet<CacheKey> = twice.into_iter().chain([one, two]).collect();
    assert_eq!(all.len(), 6);
    assert_eq!(key(r#"{"a":1,"b":0,"\u0061":2}"#), key(r#"{"b":0,"a":1,"a":2}"#), "the order among them stays");
}

#[test]
fn everything_beside_the_body_counts_too() {
    let body = br#"{"a":1}"#;
    let base = parts(body);
    let other = Uuid::from_u128(9);
    let all = [
        base,
        KeyParts { route: RouteId::from_uuid(other), ..base },
        KeyParts { revision: 2, ..base },
        KeyParts { key: None, ..base },
        KeyParts { key: Some(KeyId::from_uuid(other)), ..base },
        KeyParts { form: "messages", ..base },
        KeyParts { headers: &[("a", b"bc")], ..base },
        KeyParts { headers: &[("ab", b"c")], ..base },
        KeyParts { headers: &[("a", b"b"), ("c", b"")], ..base },
        KeyParts { headers: &[("c", b""), ("a", b"b")], ..base },
        KeyParts { body: b"{}", ..base },
    ];
    let keys: HashSet<CacheKey> = all.iter().map(|parts| cache_key(parts).unwrap()).collect();
    assert_eq!(keys.len(), all.len());
    assert_eq!(cache_key(&base), cache_key(&parts(body)), "the same each time");
}

/// Kept answers may outlive a process: a change of this value needs another [`VERSION`].
#[test]
fn a_key_stays_what_it_is() {
    let digest = hex::encode(key(r#"{"model":"m","n":1,"t":[true,null,"x"]}"#).as_bytes());
    assert_eq!(digest, "119dff0cc49e83841bbb292c6a40e550ad0cb5f8741b2190c3181246cfe5bf30");
}

#[test]
fn what_is_no_json_object_has_no_key() {
    for body in [
        "",
        " ",
        "null",
        "1",
        "[]",
        "\"{}\"",
        "{",
        "}",
        "{}}",
        "{} x",
        "{}{}",
        "{a:1}",
        "{'a':1}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{,"a":1}"#,
        r#"{"a" 1}"#,
        r#"{"a":1 "b":2}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[,1]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":[}"#,
        r#"{"a":{]}"#,
        r#"{"a":tru}"#,
        r#"{"a":True}"#,
        r#"{"a":NaN}"#,
        r#"{"a":"x}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\ud83d"}"#,
        r#"{"a":"\udc4b"}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":1\u{0}}",
        "\u{feff}{}",
    ] {
        none(body);
    }
    assert_eq!(cache_key(&parts(b"{\"a\":\"\xff\"}")), None, "not UTF-8");
}

#[test]
fn numbers_are_those_of_json() {
    for number in ["0", "-0", "10", "1.50", "-1e5", "1E+05", "2.5e-3", "123456789012345678901234567890"] {
        key(&format!(r#"{{"a":{number}}}"#));
    }
    for word in ["01", "+1", ".5", "1.", "1e", "1e+", "-", "0x1", "1.5.2", "1e5.0", "--1", "1_0", "Infinity"] {
        none(&format!(r#"{{"a":{word}}}"#));
    }
}

#[test]
fn depth_and_width_are_bounded() {
    let nested = |depth: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    key(&nested(DEEPEST - 1));
    none(&nested(DEEPEST));
    none(&nested(1_000_000));
    none(&r#"{"a":"#.repeat(1_000_000));
    let wide = |members: usize| format!("{{{}}}", vec![r#""a":0"#; members].join(","));
    key(&wide(MOST_MEMBERS));
    none(&wide(MOST_MEMBERS + 1));
    key(&format!(r#"{{"a":[{}]}}"#, vec![r#"{"b":0}"#; MOST_MEMBERS].join(",")));
}

#[derive(Clone, PartialEq, Debug)]
enum Json {
    Word(&'static str),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

fn json() -> impl Strategy<Value = Json> {
    // Few letters, so that different values are often nearly the same.
    let text = || "[ab/\"\\\\\n é😀]{0,3}";
    let words = prop::sample::select(vec!["null", "true", "false", "0", "-1", "1.0", "1", "1e9"]);
    let leaf = prop_oneof![words.prop_map(Json::Word), text().prop_map(Json::Text)];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::Array),
            prop::collection::btree_map(text(), inner, 0..4).prop_map(Json::Object),
        ]
    })
}

fn object() -> impl Strategy<Value = BTreeMap<String, Json>> {
    prop::collection::btree_map("[ab]{1,2}", json(), 0..4)
}

/// One of the many ways to write a value.
struct Writer<'a> {
    out: String,
    choices: std::iter::Cycle<std::slice::Iter<'a, u8>>,
}

impl Writer<'_> {
    fn choose(&mut self, of: u8) -> u8 {
        self.choices.next().unwrap() % of
    }
    fn space(&mut self) {
        let space = ["", "", " ", "\n\t", "\r "][usize::from(self.choose(5))];
        self.out.push_str(space);
    }
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match (c, self.choose(3)) {
                ('\n', 0) => self.out.push_str("\\n"),
                ('/', 0) => self.out.push_str("\\/"),
                ('"' | '\\', 0 | 1) => self.out.extend(['\\', c]),
                (c, 0 | 1) if c >= ' ' => self.out.push(c),
                (c, _) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(self.out, "\\u{unit:04X}").unwrap();
                    }
                }
            }
        }
        self.out.push('"');
    }
    fn value(&mut self, value: &Json) {
        self.space();
        match value {
            Json::Word(word) => self.out.push_str(word),
            Json::Text(text) => self.text(text),
            Json::Array(elements) => {
                self.out.push('[');
                for (n, element) in elements.iter().enumerate() {
                    self.out.push_str(if n > 0 { "," } else { "" });
                    self.value(element);
                }
                self.space();
                self.out.push(']');
            }
            Json::Object(members) => self.object(members),
        }
        self.space();
    }
    fn object(&mut self, members: &BTreeMap<String, Json>) {
        let mut members: Vec<_> = members.iter().collect();
        for place in (1..members.len()).rev() {
            let other = usize::from(self.choose(u8::MAX)) % (place + 1);
            members.swap(place, other);
        }
        self.out.push('{');
        for (n, (name, value)) in members.into_iter().enumerate() {
            self.out.push_str(if n > 0 { "," } else { "" });
            self.space();
            self.text(name);
            self.space();
            self.out.push(':');
            self.value(value);
        }
        self.space();
        self.out.push('}');
    }
}

fn written(body: &BTreeMap<String, Json>, choices: &[u8]) -> String {
    let mut writer = Writer { out: String::new(), choices: choices.iter().cycle() };
    writer.value(&Json::Object(body.clone()));
    writer.out
}

/// Another value in the place that `choices` lead to.
fn change(value: &mut Json, mut choices: std::slice::Iter<'_, u8>) {
    let step = usize::from(*choices.next().unwrap_or(&0));
    match value {
        Json::Word(word) => *word = if *word == "7" { "8" } else { "7" },
        Json::Text(text) => text.push('a'),
        Json::Array(elements) if elements.is_empty() => elements.push(Json::Word("7")),
        Json::Array(elements) => {
            let at = step % elements.len();
            change(&mut elements[at], choices);
        }
        Json::Object(members) if members.is_empty() => {
            members.insert("a".into(), Json::Word("7"));
        }
        Json::Object(members) => {
            let at = step % members.len();
            change(members.values_mut().nth(at).unwrap(), choices);
        }
    }
}

proptest! {
    #[test]
    fn however_it_is_written_a_body_has_one_key(
        body in object(),
        one in prop::collection::vec(any::<u8>(), 1..40),
        other in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let (one, other) = (written(&body, &one), written(&body, &other));
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&one).unwrap(), serde_json::from_str::<serde_json::Value>(&other).unwrap());
        prop_assert_eq!(key(&one), key(&other), "{} {}", one, other);
    }

    #[test]
    fn two_bodies_have_two_keys(one in object(), other in object()) {
        let (first, second) = (written(&one, &[1]), written(&other, &[1]));
        prop_assert_eq!(key(&first) == key(&second), one == other, "{} {}", first, second);
    }

    #[test]
    fn any_changed_value_is_another_key(body in object(), path in prop::collection::vec(any::<u8>(), 6)) {
        let mut changed = Json::Object(body.clone());
        change(&mut changed, path.iter());
        let Json::Object(changed) = changed else { panic!() };
        prop_assert_ne!(key(&written(&body, &[1])), key(&written(&changed, &[1])));
    }

    #[test]
    fn what_has_a_key_is_json_to_everybody(bytes in prop::collection::vec(any::<u8>(), 0..60), near in r#"\{[{}\[\]",:a\\u01 .e-]{0,40}\}"#) {
        for text in [&bytes[..], near.as_bytes()] {
            if cache_key(&parts(text)).is_some() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(text).is_ok(), "{:?}", text);
            }
        }
    }
}
