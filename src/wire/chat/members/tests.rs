use super::*;

fn foreign(body: &str, known: &[&str]) -> Vec<String> {
    let mut members = Members::of_body(body.as_bytes()).unwrap();
    for name in known {
        members.raw(name);
    }
    let mut names = Vec::new();
    members.name_the_rest("", &mut names);
    names
}

#[test]
fn what_nobody_asked_for_is_named_when_it_means_something() {
    let body = r#"{"a":1,"b":null,"c":false,"d":"","e":[ ],"f":{},"g":[1],"h":0,"i":true}"#;
    assert_eq!(foreign(body, &["i"]), ["a", "g", "h"]);
}

#[test]
fn names_are_few_short_and_plain() {
    let many: Vec<String> = (0..100).map(|nth| format!("\"n{nth}\":1")).collect();
    assert_eq!(foreign(&format!("{{{}}}", many.join(",")), &[]).len(), FOREIGN_LIMIT);
    let names = foreign(&format!("{{\"a b\\r\\n\\u00e9/c\":1,\"{}\":1,\"\\u00e9\":1}}", "x".repeat(500)), &[]);
    assert_eq!(names, ["abc".to_owned(), "x".repeat(NAME_LIMIT)]);
}

#[test]
fn a_name_comes_once_and_null_is_absent() {
    assert!(Members::of_body(br#"{"a":"x","a":"x"}"#).is_err());
    let mut members = Members::of_body(br#"{"a":"y","b":null}"#).unwrap();
    assert_eq!(members.string("a").unwrap().as_deref(), Some("y"));
    assert_eq!(members.string("b").unwrap(), None);
    assert_eq!(members.needed("b").unwrap_err().param.as_deref(), Some("b"));
}

#[test]
fn mistakes_are_told_by_their_path() {
    let mut members = Members::of_body(br#"{"a":{"b":[{"c":1}]}}"#).unwrap();
    let mut inner = members.object("a").unwrap().unwrap();
    let (at, value) = inner.list("b").unwrap().remove(0);
    let wrong = Members::of(value, at).unwrap().string("c").unwrap_err();
    assert_eq!(wrong.param.as_deref(), Some("a.b[0].c"));
    assert_eq!(wrong.message, "a.b[0].c must be a string.");
    assert_eq!(inner.object("b").unwrap_err().param.as_deref(), Some("a.b"));
    assert_eq!(Members::of_body(b"[1]").unwrap_err().param, None);
}
