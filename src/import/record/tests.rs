use super::*;
use serde_json::json;

fn record(json: &Value) -> Record {
    Record::parse(&json.to_string(), "id").unwrap()
}

#[test]
fn columns_that_are_missing_or_null_are_empty() {
    for row in [json!({"id": 7}), json!({"id": 7, "c": null})] {
        let row = record(&row);
        assert_eq!(&*row.id, "7");
        assert_eq!(row.text_or_null("c"), Ok(None));
        assert_eq!((row.text("c"), row.flag("c"), row.whole("c")), (Ok("".into()), Ok(false), Ok(0)));
        assert_eq!(
            (row.texts("c"), row.float_usd("c"), row.decimal_usd("c")),
            (Ok(vec![]), Ok(Money::ZERO), Ok(Money::ZERO))
        );
        assert_eq!(
            (row.uuid("c"), row.seconds("c"), row.timestamp("c")),
            (Ok(None), Ok(UnixMillis(0)), Ok(UnixMillis(0)))
        );
        assert!(row.json("c").is_none());
    }
}

#[test]
fn money_is_exact() {
    for (text, units) in [
        ("0", Some(0)),
        ("12.5", Some(125_000_000_000)),
        ("999999.9999999999", Some(9_999_999_999_999_999)),
        ("-0.0000000001", Some(-1)),
        ("0.00000000010", Some(1)),
        ("\"3.0000000000\"", Some(30_000_000_000)),
        ("0.00000000001", None),
        ("\"NaN\"", None),
        ("1e3", None),
    ] {
        let row = Record::parse(&format!("{{\"c\":{text}}}"), "id").unwrap();
        assert_eq!(row.decimal_usd("c").ok().map(Money::units), units, "{text}");
    }
    // A double of 0.1 + 0.2 is not 0.3.
    for (text, units) in
        [("0.30000000000000004", Some(3_000_000_000)), ("1e-10", Some(1)), ("\"NaN\"", None), ("1e300", None)]
    {
        let row = Record::parse(&format!("{{\"c\":{text}}}"), "id").unwrap();
        assert_eq!(row.float_usd("c").ok().map(Money::units), units, "{text}");
    }
}

#[test]
fn timestamps_are_taken_for_utc() {
    for (text, millis) in [
        ("2024-09-10T08:15:30.123456", Some(1_725_956_130_123)),
        ("2024-09-10T08:15:30.5", Some(1_725_956_130_500)),
        ("2024-09-10 08:15:30", Some(1_725_956_130_000)),
        ("2024-09-10", None),
        ("infinity", None),
    ] {
        assert_eq!(record(&json!({"c": text})).timestamp("c").ok().map(|at| at.0), millis, "{text}");
    }
}

#[test]
fn json_comes_in_every_shape() {
    #[derive(serde::Deserialize, Default, PartialEq, Debug)]
    #[serde(default)]
    struct Shape {
        a: String,
        b: Vec<i64>,
    }
    let ab = Shape { a: "中".into(), b: vec![1] };
    for (shape, expect) in [
        (json!({"a": "中", "b": [1, null]}), Some(ab)),
        (json!("{\"a\":\"x\"}"), Some(Shape { a: "x".into(), b: vec![] })),
        (json!({"a": null}), Some(Shape::default())),
        (json!("null"), Some(Shape::default())),
        (json!(""), Some(Shape::default())),
        (json!({"a": 5}), None),
        (json!([1]), None),
        (json!("no json"), None),
    ] {
        assert_eq!(record(&json!({"c": shape})).json_as::<Shape>("c").ok(), expect, "{shape}");
    }
    // What is kept is kept as it was written.
    let row = Record::parse("{\"c\":{\"z\":1.10,\"a\":1}}", "id").unwrap();
    assert_eq!(row.json("c").unwrap().get(), "{\"z\":1.10,\"a\":1}");
}

#[test]
fn mistakes_name_the_column_and_never_the_value() {
    let row = record(&json!({"c": {"secret": 1}, "u": "secret"}));
    for told in [
        row.text("c").unwrap_err().to_string(),
        row.whole("c").unwrap_err().to_string(),
        row.texts("c").unwrap_err().to_string(),
        row.timestamp("c").unwrap_err().to_string(),
    ] {
        assert!(told.starts_with("c ") && !told.contains("secret"), "{told}");
    }
    assert_eq!(row.uuid("u").unwrap_err().to_string(), "u is not a UUID");
}
