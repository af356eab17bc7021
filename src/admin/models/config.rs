//! What an operator writes into a model's config: its secrets are hidden when it is shown and kept when it comes back,
//! and its addresses are looked at. What the rest means is the provider's.

use crate::admin::target;
use serde_json::{Map, Value};

/// Stands for a secret in every answer.
pub(super) const MASK: &str = "******";

/// By which a credential of a list is known again.
const CREDENTIAL_ID: &str = "accessKeyId";
/// Members that hold a URL, in lower case and without `_`.
const URLS: &[&str] = &["baseurl", "host", "endpoint"];

/// Replaces every secret by [`MASK`].
pub(super) fn hide(config: &mut Map<String, Value>) {
    for (name, value) in config {
        hide_value(value, is_secret(name));
    }
}

fn hide_value(value: &mut Value, secret: bool) {
    match value {
        Value::String(text) if secret && !text.is_empty() => *value = MASK.into(),
        Value::Number(_) if secret => *value = MASK.into(),
        Value::Array(items) => items.iter_mut().for_each(|item| hide_value(item, secret)),
        Value::Object(members) => {
            for (name, value) in members {
                hide_value(value, secret || is_secret(name));
            }
        }
        _ => {}
    }
}

/// Puts the stored secret wherever a mask came back.
///
/// # Errors
/// The path of a mask behind which nothing is stored.
pub(super) fn restore(config: &mut Map<String, Value>, stored: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in config {
        restore_value(value, stored.get(name), is_secret(name)).map_err(|below| format!("config.{name}{below}"))?;
    }
    Ok(())
}

fn restore_value(value: &mut Value, stored: Option<&Value>, secret: bool) -> Result<(), String> {
    match value {
        Value::String(text) if secret && text == MASK => {
            let kept = stored.filter(|stored| stored.is_string() || stored.is_number());
            *value = kept.ok_or_else(String::new)?.clone();
        }
        Value::Array(items) => {
            for (place, item) in items.iter_mut().enumerate() {
                let twin = stored.and_then(Value::as_array).and_then(|stored| twin(item, place, stored));
                restore_value(item, twin, secret).map_err(|below| format!("[{place}]{below}"))?;
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let twin = stored.and_then(|stored| stored.get(name));
                restore_value(value, twin, secret || is_secret(name)).map_err(|below| format!(".{name}{below}"))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The stored item that an item of a list is: the one with the same access key id, or the one at its place.
fn twin<'a>(item: &Value, place: usize, stored: &'a [Value]) -> Option<&'a Value> {
    match item.get(CREDENTIAL_ID) {
        Some(id) => stored.iter().find(|stored| stored.get(CREDENTIAL_ID) == Some(id)),
        None => stored.get(place),
    }
}

/// By its name: `apiKey`, `bearerToken`, `secretAccessKey`, `googleAPIKey`, `client_secret`, ... but not `maxTokens`.
fn is_secret(name: &str) -> bool {
    let name: String = name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    ["apikey", "secret", "password", "passphrase", "privatekey"].iter().any(|part| name.contains(part))
        || name.ends_with("token")
        || name == "authorization"
}

/// What is wrong with an address in the config, as a sentence.
pub(super) fn objection(config: &Map<String, Value>) -> Option<String> {
    config.iter().find_map(|(name, value)| {
        let plain = name.replace('_', "").to_lowercase();
        let url = value.as_str().filter(|url| !url.is_empty() && URLS.contains(&plain.as_str()))?;
        target::objection(url).map(|why| format!("config.{name} {why}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            other => panic!("not an object: {other}"),
        }
    }

    fn stored() -> Map<String, Value> {
        map(json!({
            "baseURL": "https://models.example", "apiKey": "k1", "bearerToken": "k2", "maxTokens": 4096,
            "credentials": [
                {"accessKeyId": "A", "secretAccessKey": "ka"},
                {"accessKeyId": "B", "secretAccessKey": "kb"},
            ],
            "serpapi": {"apiKey": "k3", "engine": "e"}, "google": {"googleAPIKey": "k4"},
            "CLIENT_SECRET": {"deep": ["k5", 6]}, "Password": 7, "api_key": "", "token": null,
        }))
    }

    #[test]
    fn c64_every_secret_is_hidden_and_nothing_else() {
        let mut shown = stored();
        hide(&mut shown);
        let expect = json!({
            "baseURL": "https://models.example", "apiKey": MASK, "bearerToken": MASK, "maxTokens": 4096,
            "credentials": [
                {"accessKeyId": "A", "secretAccessKey": MASK},
                {"accessKeyId": "B", "secretAccessKey": MASK},
            ],
            "serpapi": {"apiKey": MASK, "engine": "e"}, "google": {"googleAPIKey": MASK},
            "CLIENT_SECRET": {"deep": [MASK, MASK]}, "Password": MASK, "api_key": "", "token": null,
        });
        assert_eq!(Value::Object(shown), expect);
    }

    #[test]
    fn c64_what_was_shown_comes_back_as_it_was() {
        let mut back = stored();
        hide(&mut back);
        restore(&mut back, &stored()).unwrap();
        assert_eq!(back, stored());
    }

    #[test]
    fn credentials_are_known_by_their_id_and_others_by_their_place() {
        let mut back = map(json!({
            "credentials": [
                {"accessKeyId": "B", "secretAccessKey": MASK},
                {"accessKeyId": "C", "secretAccessKey": "new"},
            ],
            "CLIENT_SECRET": {"deep": [MASK, "new"]},
            "model": MASK,
        }));
        restore(&mut back, &stored()).unwrap();
        let expect = json!({
            "credentials": [
                {"accessKeyId": "B", "secretAccessKey": "kb"},
                {"accessKeyId": "C", "secretAccessKey": "new"},
            ],
            "CLIENT_SECRET": {"deep": ["k5", "new"]},
            "model": MASK,
        });
        assert_eq!(Value::Object(back), expect);
    }

    #[test]
    fn a_mask_with_nothing_behind_it_is_told() {
        for (config, path) in [
            (json!({"otherSecret": MASK}), "config.otherSecret"),
            (
                json!({"credentials": [{"accessKeyId": "C", "secretAccessKey": MASK}]}),
                "config.credentials[0].secretAccessKey",
            ),
            (json!({"token": MASK}), "config.token"),
        ] {
            assert_eq!(restore(&mut map(config), &stored()), Err(path.to_owned()));
        }
    }

    #[test]
    fn addresses_are_looked_at() {
        for fine in
            [json!({"baseURL": "http://10.0.0.1:8000/v1"}), json!({"host": ""}), json!({"note": "169.254.169.254"})]
        {
            assert_eq!(objection(&map(fine.clone())), None, "{fine}");
        }
        for wrong in ["baseURL", "base_url", "BASEURL", "host", "endpoint"] {
            let config = json!({wrong: "http://169.254.169.254/latest"});
            let why = objection(&map(config)).unwrap();
            assert!(why.starts_with(&format!("config.{wrong} ")) && !why.contains("169."), "{why}");
        }
    }
}
