//! Provider settings: entries that may be shown in clear, the others sealed by the store.

use super::table;
use crate::domain::{CostMap, CustomProvider, Secret, Setting, SettingId};
use crate::import::record::{Read, Record, fault, object};
use crate::import::source::View;
use crate::import::writer::{Row, Writer};
use crate::providers;
use crate::store::{ImportStore, StoreError};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// The entry that has a second spelling, and that spelling.
const API_KEY: &str = "apikey";
const API_KEY_ALIAS: &str = "apiKey";
/// Entries that paths are appended to.
const ADDRESSES: [&str; 2] = ["baseUrl", "url"];

impl Row for Setting {
    const KIND: &'static str = "provider settings";

    fn target(&self) -> String {
        self.id.to_string()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn same(&self, here: &Self) -> bool {
        let said = |s: &Self| {
            (s.provider.clone(), s.name.clone(), s.allowed_models.clone(), s.parameters.clone(), s.cost_map.clone())
        };
        said(self) == said(here) && self.secrets == here.secrets
    }
    async fn find(&self, store: &dyn ImportStore, _: Option<&str>) -> Result<Option<Self>, StoreError> {
        store.setting(self.id).await
    }
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError> {
        store.insert_setting(self).await?;
        Ok(self.target())
    }
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError> {
        store.update_setting(&Self { revision: here.revision, ..self.clone() }).await
    }
}

/// The ids of those that the source has, whatever became of them. Memory: one entry per setting.
pub(super) async fn import(
    view: &View<'_>,
    writer: &mut Writer,
    custom: &[CustomProvider],
) -> anyhow::Result<HashSet<SettingId>> {
    let mut known = HashSet::new();
    writer.report.mention(Setting::KIND);
    let Some(rows) = view.rows(table("provider_settings")).await? else { return Ok(known) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(known);
        }
        for record in page {
            let mut remarks = Vec::new();
            match read(&record, custom, &mut remarks) {
                Ok(wanted) => {
                    known.insert(wanted.id);
                    writer.put(&record.id, &wanted).await?;
                }
                Err(why) => writer.report.broken(Setting::KIND, &record.id, why),
            }
            for remark in remarks {
                writer.report.remark(Setting::KIND, &record.id, remark);
            }
        }
    }
}

fn read(record: &Record, custom: &[CustomProvider], remarks: &mut Vec<String>) -> Read<Setting> {
    let id = record.uuid("id")?.ok_or_else(|| fault("id", "is empty"))?;
    let given = record.text("provider")?;
    let known = Known::of(&given, custom).ok_or_else(|| fault("provider", "is no provider that is known here"))?;
    let mut setting = Setting {
        id: SettingId::from_uuid(id),
        revision: 0,
        provider: known.provider.clone(),
        name: record.text("name")?,
        created_at: record.seconds("created_at")?,
        updated_at: record.seconds("updated_at")?,
        allowed_models: record.texts("allowed_models")?.into_iter().map(Into::into).collect(),
        parameters: BTreeMap::new(),
        secrets: BTreeMap::new(),
        cost_map: Some(record.json_as::<CostMap>("cost_map")?).filter(|map| *map != CostMap::default()),
    };
    for (name, value) in object(record, "setting")? {
        entry(name, value, &known, &mut setting, remarks)?;
    }
    for name in &known.required {
        if !setting.parameters.contains_key(name) && !setting.secrets.contains_key(name) {
            remarks.push(format!("setting has no {name}, without which it cannot be used"));
        }
    }
    Ok(setting)
}

fn entry(name: String, value: Value, known: &Known, setting: &mut Setting, remarks: &mut Vec<String>) -> Read<()> {
    let name = known.name(name);
    let text = match value {
        Value::Null => return Ok(()),
        Value::String(text) if text.is_empty() => return Ok(()),
        Value::String(text) => text,
        _ => return Err(fault("setting", "has an entry that is not text")),
    };
    if !known.has(&name) {
        remarks.push(format!("the entry {name} is not known here and left out"));
        return Ok(());
    }
    if text.chars().any(char::is_control) {
        return Err(fault("setting", "has an entry with control characters"));
    }
    let objection = providers::by_name(&known.provider).and_then(|provider| provider.objection(&name, &text));
    if let Some(why) = objection {
        return Err(fault("setting", format!("has an entry {name} that {why}")));
    }
    if known.public.contains(&name) {
        let shown = if ADDRESSES.contains(&&*name) { text.trim_end_matches('/') } else { &text };
        setting.parameters.insert(name, shown.into());
    } else {
        setting.secrets.insert(name, Secret::from(text));
    }
    Ok(())
}

/// The entries of a provider's settings.
struct Known {
    provider: Box<str>,
    required: Vec<Box<str>>,
    optional: Vec<Box<str>>,
    public: Vec<Box<str>>,
    /// Names are in lower case.
    custom: bool,
}

impl Known {
    fn of(provider: &str, custom: &[CustomProvider]) -> Option<Self> {
        let owned = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        if let Some(built_in) = providers::by_name(provider) {
            let schema = built_in.setting_schema();
            return Some(Self {
                provider: provider.into(),
                required: owned(schema.required),
                optional: owned(schema.optional),
                public: owned(schema.public),
                custom: false,
            });
        }
        let name = provider.to_lowercase();
        let row = custom.iter().find(|row| *row.name == *name)?;
        let entry = Some(row.authentication_param.clone()).filter(|entry| !entry.is_empty());
        let required = entry.into_iter().collect();
        Some(Self { provider: row.name.clone(), required, optional: Vec::new(), public: Vec::new(), custom: true })
    }

    fn name(&self, given: String) -> Box<str> {
        match given.as_str() {
            _ if self.custom => given.to_lowercase().into(),
            API_KEY_ALIAS => API_KEY.into(),
            _ => given.into(),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.required.iter().chain(&self.optional).any(|known| **known == *name)
    }
}
