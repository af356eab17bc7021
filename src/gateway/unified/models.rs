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
use serde::Serialize;
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
    let data: Vec<Shown<'_>> = match key {
        Some(key) => models.granted_to(key).into_iter().map(|served| shown(served)).collect(),
        None => models.iter().map(|served| shown(served)).collect(),
    };
    let body = serde_json::to_vec(&List { object: "list", data }).unwrap_or_default();
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
        Some(served) => {
            let body = serde_json::to_vec(&shown(served)).unwrap_or_default();
            answer(session, arrival, 200, body.into()).await
        }
        // Whether it exists for others is nobody's business.
        None => {
            let who = Who { key, dialect: Some(Dialect::Unified), ..Who::nobody() };
            refuse(g, session, arrival, who, UnifiedError::UnknownModel(name.into()).into()).await
        }
    }
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: &'a str,
    object: &'static str,
    /// Takes pictures.
    multiple: bool,
    created: i64,
    owned_by: &'a str,
}

fn shown(served: &ServedModel) -> Shown<'_> {
    let row = &served.row;
    Shown {
        id: &row.name,
        object: "model",
        multiple: row.multiple,
        created: row.created_at.seconds(),
        owned_by: &row.provider,
    }
}
