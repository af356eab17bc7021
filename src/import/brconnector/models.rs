//! Models of the unified API. What is in a config is the provider's business; one that cannot serve is told.

use super::{number, remark_number, table};
use crate::domain::{Model, ModelId, Secret};
use crate::import::record::{Read, Record, fault, object};
use crate::import::source::View;
use crate::import::writer::{Row, Writer};
use crate::providers::backend;
use crate::store::{ImportStore, Numbered, StoreError};
use serde_json::Value;
use std::collections::HashMap;

/// What the source's models are here. Memory: one entry per model.
#[derive(Default)]
pub(super) struct Models {
    ids: HashMap<i64, ModelId>,
}

impl Models {
    pub(super) fn id(&self, number: i64) -> Option<ModelId> {
        self.ids.get(&number).copied()
    }
}

fn config(model: &Model) -> Option<Value> {
    serde_json::from_str(model.config.expose()).ok()
}

impl Row for Model {
    const KIND: &'static str = "models";

    fn target(&self) -> String {
        self.id.to_string()
    }
    fn revision(&self) -> i64 {
        self.revision
    }
    fn same(&self, here: &Self) -> bool {
        let said = |m: &Self| (m.name.clone(), m.provider.clone(), m.multiple, m.price_in, m.price_out);
        said(self) == said(here) && config(self) == config(here)
    }
    async fn find(&self, store: &dyn ImportStore, became: Option<&str>) -> Result<Option<Self>, StoreError> {
        match became.and_then(|id| id.parse().ok()) {
            Some(id) => store.model(ModelId(id)).await,
            None => store.model_named(&self.name).await,
        }
    }
    async fn insert(&self, store: &dyn ImportStore) -> Result<String, StoreError> {
        store.number_from(Numbered::Model, self.id.0).await?;
        Ok(store.insert_model(self).await?.to_string())
    }
    async fn update(&self, store: &dyn ImportStore, here: &Self) -> Result<(), StoreError> {
        let (id, revision) = (here.id, here.revision);
        store.update_model(&Self { id, revision, ..self.clone() }).await
    }
}

pub(super) async fn import(view: &View<'_>, writer: &mut Writer) -> anyhow::Result<Models> {
    let mut models = Models::default();
    writer.report.mention(Model::KIND);
    let Some(rows) = view.rows(table("eiai_model")).await? else { return Ok(models) };
    loop {
        let page = view.next(&rows).await?;
        if page.is_empty() {
            return Ok(models);
        }
        for record in page {
            match read(&record) {
                Ok(wanted) => one(writer, &record, &wanted, &mut models).await?,
                Err(why) => writer.report.broken(Model::KIND, &record.id, why),
            }
        }
    }
}

async fn one(writer: &mut Writer, record: &Record, wanted: &Model, models: &mut Models) -> anyhow::Result<()> {
    if let Some(why) = config(wanted).and_then(|config| backend::check(&wanted.provider, &config).err()) {
        writer.report.remark(Model::KIND, &record.id, format_args!("cannot be called as it is: {why}"));
    }
    if let Some(placed) = writer.put(&record.id, wanted).await? {
        remark_number(writer, &record.id, wanted.id.0, &placed, placed.row.id.0);
        models.ids.insert(wanted.id.0, placed.row.id);
    }
    Ok(())
}

fn read(record: &Record) -> Read<Model> {
    let name = record.text("name")?;
    if name.is_empty() || name.contains('/') || name.chars().any(char::is_control) {
        return Err(fault("name", "is empty or contains / or control characters"));
    }
    Ok(Model {
        id: ModelId(number(record, "id")?),
        revision: 0,
        name,
        provider: record.text("provider")?,
        multiple: number(record, "multiple")? != 0,
        price_in: record.decimal_usd("price_in")?,
        price_out: record.decimal_usd("price_out")?,
        config: Secret::from(Value::Object(object(record, "config")?).to_string()),
        created_at: record.timestamp("created_at")?,
        updated_at: record.timestamp("updated_at")?,
    })
}
