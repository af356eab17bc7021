//! BricksLLM. Ids are UUIDs and stay. History and totals come before the keys, so that no gateway that runs meanwhile
//! ever sees a key without what it has spent.

mod custom_providers;
mod events;
mod keys;
mod routes;
mod settings;

use super::Options;
use super::report::Fate;
use super::source::{Table, View};
use super::writer::Writer;
use crate::domain::CustomProvider;
use crate::metering::Pricing;

/// What has no counterpart here: its table, and how the report names it.
const LEFT_OUT: [(&str, &str, &str); 2] = [
    ("policies", "policies", "policies have no counterpart here"),
    ("users", "users", "users have no counterpart here"),
];

pub(super) async fn import(
    view: &View<'_>,
    writer: &mut Writer,
    pricing: &Pricing,
    options: &Options,
) -> anyhow::Result<()> {
    if !view.has("keys").await? || !view.has("provider_settings").await? {
        anyhow::bail!("the source has no tables keys and provider_settings: it is no database of BricksLLM");
    }
    writer.source = "bricksllm".to_owned();
    let custom = custom_providers::import(view, writer).await?;
    let settings = settings::import(view, writer, &custom).await?;
    events::import(view, writer, options).await?;
    events::import_totals(view, writer).await?;
    keys::import(view, writer, &settings).await?;
    routes::import(view, writer, &custom, pricing, options.now).await?;
    for (table, kind, why) in LEFT_OUT {
        let count = view.count(table).await?;
        writer.report.count(kind, Fate::LeftOut, count);
        if count > 0 {
            writer.report.remark(kind, "(all)", why);
        }
    }
    Ok(())
}

/// A table whose rows have an `id`, oldest first.
const fn table(name: &'static str) -> Table {
    Table { name, id: "id", order: "created_at, id" }
}

/// Whether somebody answers under that name.
fn is_provider(name: &str, custom: &[CustomProvider]) -> bool {
    crate::providers::by_name(name).is_some() || custom.iter().any(|custom| *custom.name == *name)
}
