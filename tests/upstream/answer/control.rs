//! Commands to the upstream itself, for tests that are not in its process: paths that begin with `/_`.

use serde_json::{Value, json};

use super::super::act::Act;
use super::super::house::House;
use super::super::reply::Reply;
use super::super::request::{Body, Head};

pub fn control(house: &House, head: &Head, body: &Body) -> Reply {
    match (head.method.as_str(), head.path()) {
        ("POST", "/_script") => script(house, body),
        ("POST", "/_release") => {
            house.release(head.query("n").and_then(|n| n.parse().ok()).unwrap_or(1));
            done()
        }
        ("POST", "/_forget") => {
            house.forget();
            done()
        }
        ("GET", "/_seen") => reply(&house.seen()),
        ("GET", "/_stats") => reply(&house.stats()),
        _ => Reply::error(404, "invalid_request_error", None, "There is no such command."),
    }
}

/// One behaviour or a list of them.
fn script(house: &House, body: &Body) -> Reply {
    // By hand rather than by an untagged enum: its error would not say which member is wrong.
    let list = body.kept.trim_ascii_start().first() == Some(&b'[');
    let acts = if list {
        serde_json::from_slice::<Vec<Act>>(&body.kept)
    } else {
        serde_json::from_slice::<Act>(&body.kept).map(|act| vec![act])
    };
    match acts {
        Ok(acts) => {
            acts.into_iter().for_each(|act| house.script(act));
            done()
        }
        Err(error) => Reply::error(400, "invalid_request_error", None, &error.to_string()),
    }
}

fn done() -> Reply {
    Reply::json(200, json!({"ok": true}).to_string())
}

fn reply<T: serde::Serialize>(value: &T) -> Reply {
    let json = serde_json::to_value(value).unwrap_or(Value::Null);
    Reply::json(200, json.to_string())
}
