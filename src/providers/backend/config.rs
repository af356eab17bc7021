//! The `config` of a model row as operators write it: numbers as text, lists as text with commas, names in two spellings.

use crate::domain::{Rate, Secret, Setting, SettingId, UnixMillis};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// The row cannot be used as it is. Says which member is wrong, never its value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Misconfigured {
    #[error("You need to configure the provider correctly.")]
    Provider,
    #[error("You must specify the parameters '{0}' in the backend model configuration.")]
    Missing(&'static str),
    #[error("The model stands for a route, which cannot be used here.")]
    Route,
}

/// The members of a config.
pub(super) struct Config {
    members: Map<String, Value>,
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Self, Misconfigured> {
        match serde_json::from_str(text) {
            Ok(Value::Object(members)) => Ok(Self { members }),
            _ if text.trim().is_empty() => Ok(Self { members: Map::new() }),
            _ => Err(Misconfigured::Provider),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A text that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.value(name)?.as_str().map(str::trim).filter(|text| !text.is_empty())
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&str, Misconfigured> {
        self.text(name).ok_or(Misconfigured::Missing(name))
    }

    /// A whole number, also written as text.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64(),
        }
    }

    /// USD per million tokens, also written as text. What cannot be read is a mistake, not a price of nothing.
    pub(super) fn rate(&self, name: &'static str) -> Result<Option<Rate>, Misconfigured> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let text = value.as_str().map_or_else(|| value.to_string(), |text| text.trim().to_owned());
        if text.is_empty() {
            return Ok(None);
        }
        Rate::parse_usd_per_million(&text).map(Some).ok_or(Misconfigured::Missing(name))
    }

    /// `true`, also as 1 or as text.
    pub(super) fn flag(&self, name: &str) -> Option<bool> {
        Some(match self.value(name)? {
            Value::Bool(on) => *on,
            Value::Number(number) => number.as_i64() != Some(0),
            Value::String(text) => {
                !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "false" | "0" | "no" | "off")
            }
            _ => return None,
        })
    }

    /// A list of texts, also written as one text with commas.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let parts: Vec<&str> = match self.value(name) {
            Some(Value::String(text)) => text.split(',').collect(),
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
    }

    pub(super) fn object(&self, name: &str) -> Option<Self> {
        Some(Self { members: self.value(name)?.as_object()?.clone() })
    }

    pub(super) fn objects(&self, name: &str) -> Vec<Self> {
        let items = self.value(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(Value::as_object).map(|o| Self { members: o.clone() }).collect()
    }

    /// Whole numbers, negative ones too.
    pub(super) fn positions(&self, name: &str) -> Vec<i64> {
        self.value(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_i64).collect()
    }

    pub(super) fn setting_id(&self) -> Result<Option<SettingId>, Misconfigured> {
        let Some(text) = self.text("settingId") else { return Ok(None) };
        SettingId::parse(text).map(Some).ok_or(Misconfigured::Missing("settingId"))
    }
}

/// Public and secret entries of a setting that stands in no store.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) parameters: Vec<(&'static str, String)>,
    pub(super) secrets: Vec<(&'static str, String)>,
}

impl Entries {
    pub(super) fn setting(self, provider: &str) -> Arc<Setting> {
        Arc::new(Setting {
            id: SettingId::from_uuid(Uuid::nil()),
            revision: 0,
            provider: provider.into(),
            name: "".into(),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            allowed_models: Box::default(),
            parameters: self.parameters.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            secrets: self
                .secrets
                .into_iter()
                .map(|(name, value)| (name.into(), Secret::new(value)))
                .collect::<BTreeMap<_, _>>(),
            cost_map: None,
        })
    }
}
