//! What a key may use: `/v1/models` and `/v1/models/{name}`.

use super::super::Gateway;
use super::super::answer::answer;
use super::super::arrival::Arrival;
use super::super::refusal::{Who, refuse};
use super::error::UnifiedError;
use crate::domain::Key;
use crate::providers::Dialect;
use crate::snapshot::ServedModel;
use pingora::proxy::Session;
use serde_json::{Value, json};
use std::sync::Arc;

/// `key`: `None` = everything there is.
pub(super) async fn list(
    g: &Gateway,
    session: &mut Session,
    arrival: &Arrival,
    key: Option<&Arc<Key>>,
) -> pingora::Result<()> {
    let snapshot = g.ports.snapshot.load_full();
    let models = snapshot.models();
    let data: Vec<Value> = match key {
        Some(key) => models.granted_to(key).into_iter().map(|served| shown(served)).collect(),
        None => models.iter().map(|served| shown(served)).collect(),
    };
    let body = json!({"object": "list", "data": data}).to_string();
    answer(session, arrival, 200, body.into()).await
}

pub(super) async fn one(
    g: &Gateway,
    session: &mut Session,
    arrival: &Arrival,
    key: Option<&Arc<Key>>,
    name: &str,
) -> pingora::Result<()> {
    let snapshot = g.ports.snapshot.load_full();
    let models = snapshot.models();
    let found = models.named(name).filter(|served| key.is_none_or(|key| models.are_granted(key, served.row.id)));
    match found {
        Some(served) => answer(session, arrival, 200, shown(served).to_string().into()).await,
        // Whether it exists for others is nobody's business.
        None => {
            let who = Who { key, dialect: Some(Dialect::Unified), ..Who::nobody() };
            refuse(g, session, arrival, who, UnifiedError::UnknownModel(name.into()).into()).await
        }
    }
}

fn shown(served: &ServedModel) -> Value {
    let row = &served.row;
    json!({
        "id": row.name,
        "object": "model",
        "multiple": row.multiple,
        "created": row.created_at.seconds(),
        "owned_by": row.provider,
    })
}
