//! Keys in the management API: a key is a person who may use models. Its secret is in one answer only.

use super::members::{self, Member, MemberError, Profile, Which};
use crate::admin::AdminState;
use crate::admin::management::answer::{Answer, List, Refusal, Success};
use crate::admin::management::body::Body;
use crate::admin::management::caller::Caller;
use crate::admin::management::query::{Query, RowId};
use crate::admin::management::shape::{Timestamp, Usd};
use crate::admin::models::grants;
use crate::domain::{GroupId, Role, Secret, UnixMillis};
use crate::store::{Grantee, GranteeKind, KeyFilter, KeySort, Order, Page, Paging};
use axum::extract::State;
use axum::routing::{get, post};
use serde::Serialize;
use std::collections::HashMap;

pub(in crate::admin) fn routes() -> axum::Router<AdminState> {
    axum::Router::new()
        .route("/admin/api-key/apply", post(apply))
        .route("/admin/api-key/update", post(update))
        .route("/admin/api-key/reset-key", post(reset))
        .route("/admin/api-key/reset", post(reset))
        .route("/admin/api-key/delete", post(delete))
        .route("/admin/api-key/list", get(list))
        .route("/admin/api-key/detail", get(detail))
        .route("/admin/api-key/detail/{id}", get(detail))
        .route("/admin/api-key/list-model", get(list_model))
        .route("/admin/api-key/bind-or-unbind-model", post(bind_or_unbind_model))
        .route("/user/api-key/mine", get(mine))
}

/// What a change answers, in this order.
#[derive(Serialize)]
struct ShortKey {
    id: i64,
    name: Box<str>,
    email: Option<Box<str>>,
    /// The secret where it was just made, else its hint.
    api_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_id: Option<i64>,
    role: &'static str,
    month_quota: Option<Usd>,
    balance: Usd,
}

#[derive(Serialize)]
struct FullKey {
    id: i64,
    /// 0 = none.
    group_id: i64,
    api_key: Box<str>,
    name: Box<str>,
    email: Option<Box<str>>,
    role: &'static str,
    total_fee: Usd,
    balance: Usd,
    month_fee: Usd,
    /// null = the key has no such rule: neither quota nor balance is asked for.
    month_quota: Option<Usd>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

/// A key in a list, with the name of its group.
#[derive(Serialize)]
struct ListedKey {
    #[serde(flatten)]
    key: FullKey,
    group_name: Option<Box<str>>,
}

impl ShortKey {
    fn of(member: Member, secret: Option<&Secret>) -> Self {
        let Member { key, books } = member;
        Self {
            id: key.number,
            email: key.email().map(Box::from),
            api_key: secret.map_or_else(|| key.hint.to_string(), |secret| secret.expose().to_owned()),
            group_id: None,
            role: key.role().name(),
            month_quota: key.quota().map(Usd),
            balance: Usd(books.account.balance),
            name: key.name,
        }
    }
}

impl FullKey {
    /// `month`: start of the billing month. What was used of the quota of a month that is over is not shown.
    fn of(member: Member, month: UnixMillis) -> Self {
        let Member { key, books } = member;
        Self {
            id: key.number,
            group_id: key.group().map_or(0, |group| group.0),
            email: key.email().map(Box::from),
            role: key.role().name(),
            total_fee: Usd(books.total),
            balance: Usd(books.account.balance),
            month_fee: Usd(books.account.used(month)),
            month_quota: key.quota().map(Usd),
            created_at: Timestamp(key.created_at),
            updated_at: Timestamp(key.updated_at),
            api_key: key.hint,
            name: key.name,
        }
    }
}

async fn apply(State(state): State<AdminState>, body: Body) -> Answer<ShortKey> {
    let profile = profile(&body)?;
    if profile.name.is_none() {
        return Err(Refusal::invalid("name is required"));
    }
    let balance = body.amount("balance")?.unwrap_or_default();
    let (member, secret) = members::create(&state, profile, balance).await?;
    Ok(Success(ShortKey::of(member, Some(&secret))))
}

async fn update(State(state): State<AdminState>, body: Body) -> Answer<ShortKey> {
    let id = body.required_id("id")?;
    let member = members::change(&state, id, profile(&body)?).await?;
    let group = member.key.group().map_or(0, |group| group.0);
    Ok(Success(ShortKey { group_id: Some(group), ..ShortKey::of(member, None) }))
}

async fn reset(State(state): State<AdminState>, body: Body) -> Answer<ShortKey> {
    let (member, secret) = members::replace_secret(&state, which(&body)?).await?;
    Ok(Success(ShortKey::of(member, Some(&secret))))
}

async fn delete(State(state): State<AdminState>, caller: Caller, body: Body) -> Answer<bool> {
    let keep_history = body.flag("keep_history")?.unwrap_or(false);
    members::remove(&state, which(&body)?, keep_history, caller.key_id()).await?;
    Ok(Success(true))
}

async fn list(State(state): State<AdminState>, query: Query) -> Answer<List<ListedKey>> {
    let paging = query.paging();
    let month = state.zone.month_start(state.clock.now());
    let (sort, order) = sorting(&query, month);
    let role = query.text("role").map(Role::parse);
    let filter = KeyFilter {
        text: query.owned("q"),
        exact_name: query.owned("name"),
        group: query.id("group_id").map(|id| Some(GroupId(id)).filter(|group| group.0 != 0)),
        role: role.flatten(),
        sort,
        order,
        paging,
        ..KeyFilter::default()
    };
    // Nobody has a role that does not exist.
    let page = match role {
        Some(None) => Page { rows: Vec::new(), count: 0 },
        _ => members::members(&state, &filter).await?,
    };
    let names = group_names(&state, &page).await?;
    let listed = |member: Member| {
        let group_name = member.key.group().and_then(|group| names.get(&group).cloned());
        ListedKey { key: FullKey::of(member, month), group_name }
    };
    Ok(Success(List::of(page, paging, listed)))
}

async fn group_names(state: &AdminState, page: &Page<Member>) -> Result<HashMap<GroupId, Box<str>>, Refusal> {
    if page.rows.iter().all(|member| member.key.group().is_none()) {
        return Ok(HashMap::new());
    }
    let groups = state.store.list_groups(None, Paging::default()).await?;
    Ok(groups.rows.into_iter().map(|group| (group.id, group.name)).collect())
}

fn sorting(query: &Query, month: UnixMillis) -> (KeySort, Order) {
    let Some((column, order)) = query.order() else { return (KeySort::Number, Order::Descending) };
    let sort = match column {
        "id" => KeySort::Number,
        "name" => KeySort::Name,
        "total" => KeySort::Total,
        "month" => KeySort::Month(month),
        "quota" => KeySort::Quota,
        "balance" => KeySort::Balance,
        "update" => KeySort::Updated,
        _ => return (KeySort::Number, Order::Descending),
    };
    (sort, order)
}

async fn detail(State(state): State<AdminState>, RowId(id): RowId) -> Answer<FullKey> {
    let member = members::member(&state, id).await?;
    Ok(Success(FullKey::of(member, state.zone.month_start(state.clock.now()))))
}

async fn mine(State(state): State<AdminState>, caller: Caller) -> Answer<FullKey> {
    let Caller::Key(key) = caller else {
        return Err(Refusal::invalid("Please create an admin key via the API first."));
    };
    // Deleted since it was let in.
    let gone = |error| if matches!(error, MemberError::Unknown) { Refusal::bad_key() } else { error.into() };
    let member = members::member(&state, key.number).await.map_err(gone)?;
    Ok(Success(FullKey::of(member, state.zone.month_start(state.clock.now()))))
}

async fn list_model(State(state): State<AdminState>, query: Query) -> Answer<List<grants::GrantItem>> {
    Ok(Success(grants::list(&state, &query, GranteeKind::Key).await?))
}

async fn bind_or_unbind_model(State(state): State<AdminState>, body: Body) -> Answer<&'static str> {
    let key = members::numbered(&state, body.required_id("key_id")?).await?;
    Ok(Success(grants::switch(&state, Grantee::Key(key.id), &body).await?))
}

/// Members that are neither here nor in a rule are ignored: forms send everything they have.
fn profile(body: &Body) -> Result<Profile, Refusal> {
    let role = body.text("role")?.filter(|role| !role.is_empty());
    let known = |role: Box<str>| Role::parse(&role).ok_or_else(|| Refusal::invalid("role must be user or admin"));
    Ok(Profile {
        name: body.filled("name")?,
        email: body.clearable("email")?,
        role: role.map(known).transpose()?,
        group: body.id_or_none("group_id")?.map(|id| id.map(GroupId)),
        quota: body.amount("month_quota")?,
    })
}

fn which(body: &Body) -> Result<Which, Refusal> {
    if let Some(id) = body.id("id")? {
        return Ok(Which::Number(id));
    }
    match body.text("api_key")?.filter(|key| !key.is_empty()) {
        Some(key) => Ok(Which::Secret(Secret::new(key))),
        None => Err(Refusal::invalid("api_key or id is required")),
    }
}

impl From<MemberError> for Refusal {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Unknown => Self::no_such_key(),
            MemberError::UnknownGroup => Self::invalid("group not found"),
            MemberError::LastAdmin => Self::conflict("This is the last admin: make another one first."),
            MemberError::OwnKey => Self::conflict("A key cannot delete itself."),
            MemberError::NoRandomness => {
                tracing::error!(%error, "a key could not be made");
                Self::internal()
            }
            MemberError::Store(error) => error.into(),
        }
    }
}
