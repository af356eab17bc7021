//! Bodies as people's forms and scripts send them: numbers as text, objects as text, members that mean nothing.
//! Every mistake is a 400 that names the field and repeats no value.

use super::answer::Refusal;
use super::decimal::{self, Wrong};
use crate::admin::input::{self, Unread};
use crate::domain::Money;
use axum::extract::{FromRequest, Request};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Fractional digits of [`Money`].
const MONEY_DIGITS: u32 = 10;
/// Fractional digits of a price per million tokens that is a whole number of [`Money`] per token.
const PER_MILLION_DIGITS: u32 = 4;
/// Amounts end below this, USD.
const AMOUNTS_BELOW: i64 = 1_000_000;
/// Longest free text, characters.
const LONGEST_TEXT: usize = 255;

/// A JSON object; of repeated members the last counts.
pub(in crate::admin) struct Body(BTreeMap<String, Box<RawValue>>);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let bytes = input::whole(request.into_body()).await.map_err(|unread| match unread {
            Unread::Large => Refusal::too_large(),
            Unread::Slow => Refusal::too_slow(),
            Unread::Broken => Refusal::not_json(),
        })?;
        serde_json::from_slice(&bytes).map(Self).map_err(|_| Refusal::not_json())
    }
}

impl Body {
    /// The member as it was written; null and absent are the same.
    fn written(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|raw| raw.get()).filter(|text| *text != "null")
    }

    /// Text; `None` when it is absent or null.
    pub(in crate::admin) fn text(&self, name: &str) -> Result<Option<Box<str>>, Refusal> {
        let Some(written) = self.written(name) else { return Ok(None) };
        let text: String =
            serde_json::from_str(written).map_err(|_| Refusal::invalid(format!("{name} must be text")))?;
        if text.contains('\0') {
            return Err(Refusal::invalid(format!("{name} must not contain U+0000")));
        }
        if text.chars().count() > LONGEST_TEXT {
            return Err(Refusal::invalid(format!("{name} is longer than {LONGEST_TEXT} characters")));
        }
        Ok(Some(text.into()))
    }

    /// Text that null takes away: `Some(None)`.
    pub(in crate::admin) fn clearable(&self, name: &str) -> Result<Option<Option<Box<str>>>, Refusal> {
        let text = self.text(name)?;
        Ok(self.0.contains_key(name).then_some(text))
    }

    /// Text that is not blank; `None` when it is absent or null.
    pub(in crate::admin) fn filled(&self, name: &str) -> Result<Option<Box<str>>, Refusal> {
        let text = self.text(name)?;
        if text.as_ref().is_some_and(|text| text.trim().is_empty()) {
            return Err(Refusal::invalid(format!("{name} is required")));
        }
        Ok(text)
    }

    /// A number, or text that holds one, as an integer of `10^-digits`; empty text is as absent.
    fn number(&self, name: &str, digits: u32) -> Result<Option<i64>, Refusal> {
        let Some(written) = self.written(name) else { return Ok(None) };
        let text = match serde_json::from_str::<String>(written) {
            Ok(text) if text.trim().is_empty() => return Ok(None),
            Ok(text) => text,
            Err(_) => written.to_owned(),
        };
        decimal::scaled(&text, digits).map(Some).map_err(|wrong| {
            Refusal::invalid(match (wrong, digits) {
                (Wrong::NoNumber, _) => format!("{name} must be a number"),
                (Wrong::TooFine, 0) => format!("{name} must be an integer"),
                (Wrong::TooFine, _) => format!("{name} has more than {digits} fractional digits"),
                (Wrong::TooLarge, _) => format!("{name} is too large"),
            })
        })
    }

    /// The number of a row. Forms send 0 for none.
    pub(in crate::admin) fn id(&self, name: &str) -> Result<Option<i64>, Refusal> {
        Ok(self.number(name, 0)?.filter(|id| *id != 0))
    }

    pub(in crate::admin) fn required_id(&self, name: &str) -> Result<i64, Refusal> {
        self.id(name)?.ok_or_else(|| Refusal::invalid(format!("{name} is required")))
    }

    /// The number of a row, where 0 says that there is none.
    pub(in crate::admin) fn id_or_none(&self, name: &str) -> Result<Option<Option<i64>>, Refusal> {
        Ok(self.number(name, 0)?.map(|id| Some(id).filter(|id| *id != 0)))
    }

    /// USD, from 0 to below a million.
    pub(in crate::admin) fn amount(&self, name: &str) -> Result<Option<Money>, Refusal> {
        self.money(name, MONEY_DIGITS, Money::from_units(AMOUNTS_BELOW * 10_i64.pow(MONEY_DIGITS)))
    }

    /// USD per million tokens, as what one token costs.
    pub(in crate::admin) fn price(&self, name: &str) -> Result<Option<Money>, Refusal> {
        self.money(name, PER_MILLION_DIGITS, Money::from_units(AMOUNTS_BELOW * 10_i64.pow(PER_MILLION_DIGITS)))
    }

    fn money(&self, name: &str, digits: u32, below: Money) -> Result<Option<Money>, Refusal> {
        let Some(money) = self.number(name, digits)?.map(Money::from_units) else { return Ok(None) };
        if money < Money::ZERO {
            return Err(Refusal::invalid(format!("{name} must not be negative")));
        }
        if money >= below {
            return Err(Refusal::invalid(format!("{name} must be less than {AMOUNTS_BELOW}")));
        }
        Ok(Some(money))
    }

    /// true, false, 0 or 1, also as text.
    pub(in crate::admin) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.written(name).map(|written| written.trim_matches('"')) {
            None | Some("") => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(_) => Err(Refusal::invalid(format!("{name} must be 0 or 1"))),
        }
    }

    /// An object, or text that holds one in JSON; empty text is as absent.
    pub(in crate::admin) fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, Refusal> {
        let Some(written) = self.written(name) else { return Ok(None) };
        let text = serde_json::from_str::<String>(written);
        let text = match &text {
            Ok(text) if text.trim().is_empty() => return Ok(None),
            Ok(text) => text,
            Err(_) => written,
        };
        let wrong = |_| Refusal::invalid(format!("{name} must be a JSON object"));
        serde_json::from_str(text).map(Some).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(json: &str) -> Body {
        Body(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn numbers_come_as_numbers_and_as_text() {
        let usd = |text: &str| Money::parse_usd(text).unwrap();
        for (json, expect) in [
            (r#"{"m":1.00}"#, Some(usd("1"))),
            (r#"{"m":"1.00"}"#, Some(usd("1"))),
            (r#"{"m":0.1}"#, Some(usd("0.1"))),
            (r#"{"m":1e-7}"#, Some(usd("0.0000001"))),
            (r#"{"m":999999.9999999999}"#, Some(usd("999999.9999999999"))),
            (r#"{"m":null}"#, None),
            (r#"{"m":""}"#, None),
            ("{}", None),
        ] {
            assert_eq!(body(json).amount("m").unwrap(), expect, "{json}");
        }
        for json in ["-1", "1000000", "\"x\"", "true", "[]", "{}", "0.00000000001", "1e300", "\"1 2\"", "\"Infinity\""]
        {
            assert!(body(&format!(r#"{{"m":{json}}}"#)).amount("m").is_err(), "{json}");
        }
    }

    #[test]
    fn a_price_is_kept_per_token_exactly_or_refused() {
        assert_eq!(body(r#"{"p":3}"#).price("p").unwrap(), Some(Money::from_units(30_000)));
        assert_eq!(body(r#"{"p":"0.0001"}"#).price("p").unwrap(), Some(Money::from_units(1)));
        assert!(body(r#"{"p":0.00001}"#).price("p").is_err());
    }

    #[test]
    fn ids_and_flags_are_lenient_but_not_careless() {
        assert_eq!(body(r#"{"id":"7"}"#).id("id").unwrap(), Some(7));
        for none in ["0", "null", "\"\"", "\"0\""] {
            assert_eq!(body(&format!(r#"{{"id":{none}}}"#)).id("id").unwrap(), None, "{none}");
        }
        for wrong in ["1.5", "\"1;drop\"", "true", "[1]", "99999999999999999999"] {
            assert!(body(&format!(r#"{{"id":{wrong}}}"#)).id("id").is_err(), "{wrong}");
        }
        assert_eq!(body(r#"{"g":0}"#).id_or_none("g").unwrap(), Some(None));
        for (json, expect) in [("1", Some(true)), ("\"0\"", Some(false)), ("true", Some(true)), ("null", None)] {
            assert_eq!(body(&format!(r#"{{"f":{json}}}"#)).flag("f").unwrap(), expect, "{json}");
        }
        assert!(body(r#"{"f":2}"#).flag("f").is_err());
    }

    #[test]
    fn objects_come_as_text_too() {
        let expect = serde_json::from_str::<Map<String, Value>>(r#"{"a":[1]}"#).unwrap();
        assert_eq!(body(r#"{"c":{"a":[1]}}"#).object("c").unwrap(), Some(expect.clone()));
        assert_eq!(body(r#"{"c":"{\"a\":[1]}"}"#).object("c").unwrap(), Some(expect));
        for wrong in ["[]", "1", "\"{\"", "\"[]\"", "\"null\"", "true"] {
            assert!(body(&format!(r#"{{"c":{wrong}}}"#)).object("c").is_err(), "{wrong}");
        }
        let deep = format!(r#"{{"c":{}1{}}}"#, r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        assert!(body(&deep).object("c").is_err());
    }
}
