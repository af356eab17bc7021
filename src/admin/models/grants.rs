//! Who may use which model, in the management API: one switch and one list for keys and for groups.

use super::service::shown_config;
use crate::admin::AdminState;
use crate::admin::management::answer::{List, Refusal};
use crate::admin::management::body::Body;
use crate::admin::management::query::Query;
use crate::admin::management::shape::{Timestamp, Usd};
use crate::domain::{Key, ModelId};
use crate::store::{Grant, GrantAction, GrantFilter, Granted, Grantee, GranteeKind, Paging, StoreError};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// A grant with what lists show of both sides; the members of the other kind of grantee are left out.
#[derive(Serialize)]
pub(in crate::admin) struct GrantItem {
    id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<i64>,
    model_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<i64>,
    created_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_name: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_name: Option<Box<str>>,
    model_name: Box<str>,
    multiple: u8,
    price_in: Usd,
    price_out: Usd,
    provider: Box<str>,
    /// Without its secrets.
    config: Map<String, Value>,
}

impl GrantItem {
    fn of(grant: Grant, kind: GranteeKind) -> Self {
        let config = shown_config(&grant.model);
        let of_key = kind == GranteeKind::Key;
        let (key_name, group_name) =
            if of_key { (Some(grant.grantee_name), None) } else { (None, Some(grant.grantee_name)) };
        Self {
            id: grant.id.0,
            key_id: of_key.then_some(grant.grantee),
            model_id: grant.model.id.0,
            group_id: (!of_key).then_some(grant.grantee),
            // A grant is made and taken away, never changed.
            created_at: Timestamp(grant.created_at),
            updated_at: Timestamp(grant.created_at),
            key_name,
            group_name,
            model_name: grant.model.name,
            multiple: grant.model.multiple.into(),
            price_in: Usd(grant.model.price_in),
            price_out: Usd(grant.model.price_out),
            provider: grant.model.provider,
            config,
        }
    }
}

/// Grants, or takes away; what there is afterwards. Forms say `action` when a second click must not undo the first.
pub(in crate::admin) async fn switch(
    state: &AdminState,
    grantee: Grantee,
    body: &Body,
) -> Result<&'static str, Refusal> {
    let model = ModelId(body.required_id("model_id")?);
    let action = match body.text("action")?.as_deref() {
        None | Some("") => GrantAction::Toggle,
        Some("bind") => GrantAction::Bind,
        Some("unbind") => GrantAction::Unbind,
        Some(_) => return Err(Refusal::invalid("action must be bind or unbind")),
    };
    let granted = state.store.grant(grantee, model, action, state.clock.now()).await?;
    state.show_change().await;
    tracing::info!(?grantee, model.id = %model, ?granted, "grant changed");
    Ok(match granted {
        Granted::Yes => "created",
        Granted::No => "deleted",
    })
}

pub(in crate::admin) async fn list(
    state: &AdminState,
    query: &Query,
    kind: GranteeKind,
) -> Result<List<GrantItem>, Refusal> {
    let paging = query.paging();
    let filter = GrantFilter {
        kind,
        grantee: query.id(match kind {
            GranteeKind::Key => "key_id",
            GranteeKind::Group => "group_id",
        }),
        model: query.id("model_id").map(ModelId),
        text: query.owned("q"),
        paging,
    };
    let page = state.store.list_grants(&filter).await?;
    Ok(List::of(page, paging, |grant| GrantItem::of(grant, kind)))
}

/// What a key may use: its group's grants, then its own for what is not among them. How the models are reached is not
/// its user's business, so configs are empty.
pub(super) async fn of_key(state: &AdminState, key: &Key) -> Result<Vec<GrantItem>, StoreError> {
    let mut seen = HashSet::new();
    let mut items = Vec::new();
    let grantees = [(GranteeKind::Group, key.group().map(|group| group.0)), (GranteeKind::Key, Some(key.number))];
    for (kind, grantee) in grantees {
        let Some(grantee) = grantee else { continue };
        let filter = GrantFilter { kind, grantee: Some(grantee), model: None, text: None, paging: Paging::default() };
        let grants = state.store.list_grants(&filter).await?.rows.into_iter();
        let new = grants.filter(|grant| seen.insert(grant.model.id));
        items.extend(new.map(|grant| GrantItem { config: Map::new(), ..GrantItem::of(grant, kind) }));
    }
    Ok(items)
}
