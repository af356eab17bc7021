//! Groups in the management API.

use super::service::{self, Draft, GroupError};
use crate::admin::AdminState;
use crate::admin::management::answer::{Answer, List, Refusal, Success};
use crate::admin::management::body::Body;
use crate::admin::management::query::{Query, RowId};
use crate::admin::management::shape::Timestamp;
use crate::admin::models::grants::{self, GrantItem};
use crate::domain::{Group, GroupId};
use crate::store::{Grantee, GranteeKind};
use axum::extract::State;
use axum::routing::{get, post};
use serde::Serialize;

pub(in crate::admin) fn routes() -> axum::Router<AdminState> {
    axum::Router::new()
        .route("/admin/group/list", get(list))
        .route("/admin/group/detail", get(detail))
        .route("/admin/group/detail/{id}", get(detail))
        .route("/admin/group/save", post(save))
        .route("/admin/group/delete", post(delete))
        .route("/admin/group/list-model", get(list_model))
        .route("/admin/group/bind-or-unbind-model", post(bind_or_unbind_model))
}

#[derive(Serialize)]
struct GroupItem {
    id: i64,
    name: Box<str>,
    key: Option<Box<str>>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<Group> for GroupItem {
    fn from(group: Group) -> Self {
        Self {
            id: group.id.0,
            name: group.name,
            key: group.code,
            created_at: Timestamp(group.created_at),
            updated_at: Timestamp(group.updated_at),
        }
    }
}

async fn list(State(state): State<AdminState>, query: Query) -> Answer<List<GroupItem>> {
    let paging = query.paging();
    let page = state.store.list_groups(query.text("q"), paging).await?;
    Ok(Success(List::of(page, paging, GroupItem::from)))
}

async fn detail(State(state): State<AdminState>, RowId(id): RowId) -> Answer<GroupItem> {
    Ok(Success(service::find(&state, GroupId(id)).await?.into()))
}

async fn save(State(state): State<AdminState>, body: Body) -> Answer<GroupItem> {
    let draft = Draft { name: body.filled("name")?, code: body.clearable("key")? };
    let group = match body.id("id")? {
        Some(id) => service::change(&state, GroupId(id), &draft).await?,
        None => service::create(&state, draft).await?,
    };
    Ok(Success(group.into()))
}

async fn delete(State(state): State<AdminState>, body: Body) -> Answer<bool> {
    service::remove(&state, GroupId(body.required_id("id")?)).await?;
    Ok(Success(true))
}

async fn list_model(State(state): State<AdminState>, query: Query) -> Answer<List<GrantItem>> {
    Ok(Success(grants::list(&state, &query, GranteeKind::Group).await?))
}

async fn bind_or_unbind_model(State(state): State<AdminState>, body: Body) -> Answer<&'static str> {
    let group = GroupId(body.required_id("group_id")?);
    Ok(Success(grants::switch(&state, Grantee::Group(group), &body).await?))
}

impl From<GroupError> for Refusal {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::Invalid(what) => Self::invalid(what),
            GroupError::Exists(name) => Self::exists(&name),
            GroupError::Unknown => Self::not_found(),
            GroupError::Store(error) => error.into(),
        }
    }
}
