//! From a known caller and a read body to an admitted request: path, setting, model, price, limits, journal.

use super::Gateway;
use super::arrival::{self, Arrival};
use super::refuse::GatewayError;
use super::settle::{self, Terms};
use crate::auth::paths;
use crate::domain::{BudgetMode, Event, Key, Money, Routed, Setting, SettingId, UnixMillis, UsageSource};
use crate::ledger::Booking;
use crate::limits::{Ask, CountersUnavailable, RateState, Refusal, Rules, Verdict};
use crate::metering::{Price, Pricing};
use crate::providers::backend::CachedRates;
use crate::providers::{self, Billing, Call, Endpoint, Handle, Provider};
use crate::snapshot::{ServedModel, Snapshot};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;

/// A request that is worth asking the counters about.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) key: Arc<Key>,
    pub(super) setting: Arc<Setting>,
    pub(super) provider: Handle,
    pub(super) endpoint: Endpoint,
    pub(super) call: Call,
    /// The model row that the request was made for; it sets the price.
    pub(super) row: Option<Arc<ServedModel>>,
}

impl Planned {
    /// The price of a model in this request: the row's own, whatever answered, else by the prices of setting and table.
    pub(super) fn price(&self, g: &Pricing, answered: Option<&str>, asked: &str, at: UnixMillis) -> Option<Price> {
        match &self.row {
            Some(served) => {
                let cached = served.backend.as_ref().map_or_else(|_| CachedRates::default(), |b| b.cached_rates);
                Some(providers::row_price(g, &*self.provider, (&served.row, cached), asked, at))
            }
            None => providers::price(g, &*self.provider, &self.setting, answered, asked, at),
        }
    }

    /// The stored setting whose credential is used.
    pub(super) fn setting_id(&self) -> Option<SettingId> {
        Some(self.setting.id).filter(|id| !id.as_uuid().is_nil())
    }

    /// How the cost of this very call comes about.
    pub(super) const fn billing(&self) -> Billing {
        if self.call.deferred { Billing::Later } else { self.endpoint.billing }
    }
}

/// Only [`admit`] makes one: money is held, the journal knows, exactly one event will follow.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) planned: Planned,
    pub(super) booking: Booking,
    pub(super) price: Option<Price>,
    pub(super) rate: Option<RateState>,
}

/// What the client wants its event to carry.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub(super) custom_id: Box<str>,
    pub(super) metadata: Option<Box<RawValue>>,
    /// Of a request to a route.
    pub(super) route: Option<Box<Routed>>,
}

impl Wishes {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self { custom_id: arrival::custom_id(headers), metadata: arrival::metadata(headers), route: None }
    }
}

/// The key's own verdict, before anything is read.
pub(super) fn key_is_usable(g: &Gateway, key: &Key, arrival: &Arrival) -> Result<(), GatewayError> {
    if key.revoked {
        return Err(GatewayError::Revoked);
    }
    if key.expires_at().is_some_and(|end| end <= arrival.now) {
        g.ports.expiry.expire(key.id);
        return Err(GatewayError::Expired);
    }
    Ok(())
}

/// The key's settings of this provider, in the key's order.
pub(super) fn fitting_settings(
    snapshot: &Snapshot,
    key: &Key,
    provider: &str,
) -> Result<Vec<Arc<Setting>>, GatewayError> {
    let fitting: Vec<Arc<Setting>> = key
        .setting_ids
        .iter()
        .filter_map(|id| snapshot.setting(*id))
        .filter(|setting| &*setting.provider == provider)
        .cloned()
        .collect();
    if fitting.is_empty() { Err(GatewayError::NoSetting) } else { Ok(fitting) }
}

pub(super) fn path_is_allowed(key: &Key, arrival: &Arrival) -> Result<(), GatewayError> {
    let allowed = paths::may_call(&key.allowed_paths, arrival.method.as_str(), &arrival.path);
    if allowed { Ok(()) } else { Err(GatewayError::PathNotAllowed) }
}

/// The one setting whose credential, URL and prices are all used: the first that permits the model,
/// or any of them when the key rotates.
pub(super) fn choose_setting(
    key: &Key,
    fitting: &[Arc<Setting>],
    call: &Call,
    provider: &dyn Provider,
    arrival: &Arrival,
) -> Result<Arc<Setting>, GatewayError> {
    let permits = |setting: &&Arc<Setting>| {
        let call = provider.with_setting(call, setting);
        let names = [&*call.model, &*call.alias];
        let first = names.iter().all(|name| name.is_empty())
            || names.iter().any(|name| !name.is_empty() && setting.allows_model(name));
        first && call.more_models.iter().all(|name| setting.allows_model(name))
    };
    let permitted: Vec<&Arc<Setting>> = fitting.iter().filter(permits).collect();
    let turn = if key.rotation { arrival.event_id.chance() } else { 0 };
    let index = turn.checked_rem(permitted.len()).ok_or(GatewayError::ModelNotAllowed)?;
    permitted.get(index).map(|s| Arc::clone(s)).ok_or(GatewayError::ModelNotAllowed)
}

/// One way in which a request may be served. Limits must cover any that may come to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bid<'a> {
    pub(super) planned: &'a Planned,
    pub(super) price: Option<&'a Price>,
    pub(super) body: &'a Bytes,
}

impl Bid<'_> {
    /// Its cost is not known, or not all of it.
    fn is_unpriced(&self, g: &Gateway, arrival: &Arrival) -> bool {
        let billing = self.planned.billing();
        billing == Billing::Unpriced
            || (billing == Billing::Usage && !(self.price.is_some() && all_priced(g, self.planned, arrival)))
    }

    /// # Errors
    /// A budget cannot bear what has no price or no bound.
    pub(super) fn fits(&self, g: &Gateway, rules: &Rules, arrival: &Arrival) -> Result<(), GatewayError> {
        self.is_billable(g, rules, arrival)?;
        first_hold(self, rules).map(drop)
    }

    fn is_billable(&self, g: &Gateway, rules: &Rules, arrival: &Arrival) -> Result<(), GatewayError> {
        if !rules.has_budget() {
            return Ok(());
        }
        // Work that is billed later is not bounded now: only a budget that looks backwards can let it in.
        let unbounded = self.planned.billing() == Billing::Later && rules.mode != BudgetMode::Observe;
        if (unbounded || self.is_unpriced(g, arrival)) && !g.settings.allow_unpriced {
            return Err(GatewayError::NotPriced);
        }
        Ok(())
    }
}

/// Takes from every limit of the key in one step, then makes the promise of one event. `others`: in which ways it may be
/// served instead; each fits the key's limits.
pub(super) async fn admit(
    g: &Gateway,
    planned: Planned,
    others: &[Bid<'_>],
    wishes: Wishes,
    body: &Bytes,
    arrival: &Arrival,
) -> Result<Admitted, GatewayError> {
    let rules = g.rules_of(&planned.key, arrival.now);
    let price = price_of(g, &planned, arrival);
    let first = Bid { planned: &planned, price: price.as_ref(), body };
    first.is_billable(g, &rules, arrival)?;
    let unpriced = first.is_unpriced(g, arrival);
    let taken = if rules.is_empty() { None } else { Some(take(g, first, others, rules, arrival).await?) };
    let terms = Terms { price: price.as_ref(), unpriced, quota: rules.quota };
    let event = settle::opening(&planned, wishes, terms, body.len(), arrival);
    let (booking, rate) = promise(g, event, taken)?;
    Ok(Admitted { planned, booking, price, rate })
}

/// As [`admit`], for an answer that is there already and costs nothing: it counts as a request. `event`: without money.
pub(super) async fn admit_free(
    g: &Gateway,
    key: &Key,
    event: Event,
    arrival: &Arrival,
) -> Result<(Booking, Option<RateState>), GatewayError> {
    let rules = g.rules_of(key, arrival.now);
    let ask = ask(g, key, rules, Money::ZERO, arrival);
    let taken = if rules.is_empty() { None } else { Some(granted(g, key, ask, g.ports.counters.admit(&ask).await)?) };
    promise(g, Event { quota: rules.quota, ..event }, taken)
}

fn promise(g: &Gateway, event: Event, taken: Option<Taken>) -> Result<(Booking, Option<RateState>), GatewayError> {
    match Booking::open(event, g.sink.clone()) {
        Ok(booking) => Ok((booking, taken.and_then(|t| t.rate))),
        Err(error) => {
            tracing::error!(%error, "request refused: the journal cannot take it");
            if let Some(taken) = taken {
                g.ports.counters.release(&taken.ask);
            }
            Err(GatewayError::JournalUnavailable)
        }
    }
}

pub(super) fn price_of(g: &Gateway, planned: &Planned, arrival: &Arrival) -> Option<Price> {
    if planned.billing() != Billing::Usage {
        return None;
    }
    planned.price(&g.ports.pricing, None, &planned.call.model, arrival.now)
}

/// Whether the models beside the first have a price too.
fn all_priced(g: &Gateway, planned: &Planned, arrival: &Arrival) -> bool {
    let priced = |model: &str| planned.price(&g.ports.pricing, None, model, arrival.now).is_some();
    planned.call.more_models.iter().all(|model| priced(model))
}

/// What the counters granted.
struct Taken {
    ask: Ask,
    rate: Option<RateState>,
}

fn ask(g: &Gateway, key: &Key, rules: Rules, hold: Money, arrival: &Arrival) -> Ask {
    Ask {
        key: key.id,
        rules,
        event: arrival.event_id,
        now: arrival.now,
        hold,
        hold_expires: arrival.now.plus(g.settings.max_request_timeout + Duration::from_secs(60)),
    }
}

async fn take(
    g: &Gateway,
    first: Bid<'_>,
    others: &[Bid<'_>],
    rules: Rules,
    arrival: &Arrival,
) -> Result<Taken, GatewayError> {
    let key = &*first.planned.key;
    let mut hold = first_hold(&first, &rules)?;
    for other in others {
        hold = hold.max(first_hold(other, &rules)?);
    }
    let mut ask = ask(g, key, rules, hold, arrival);
    let mut verdict = g.ports.counters.admit(&ask).await;
    // The cheap upper bound did not fit: count exactly before saying no. Only requests near a limit pay for this.
    if let (Ok(Verdict::Refused(refusal)), BudgetMode::Reserve) = (&verdict, rules.mode)
        && has_room_for_less(*refusal)
    {
        let mut counted = Money::ZERO;
        for bid in std::iter::once(&first).chain(others) {
            if let Some(price) = bid.price {
                counted = counted.max(counted_hold(bid.planned, price, bid.body).await);
            }
        }
        if counted < ask.hold {
            ask.hold = counted;
            verdict = g.ports.counters.admit(&ask).await;
        }
    }
    granted(g, key, ask, verdict)
}

fn granted(
    g: &Gateway,
    key: &Key,
    ask: Ask,
    verdict: Result<Verdict, CountersUnavailable>,
) -> Result<Taken, GatewayError> {
    match verdict.map_err(|_| GatewayError::CountersUnavailable)? {
        Verdict::Admitted { rate } => Ok(Taken { ask, rate }),
        Verdict::Refused(Refusal::Rate { state }) => Err(GatewayError::Rate { state }),
        Verdict::Refused(Refusal::WindowBudget { retry_after, rate, .. }) => {
            Err(GatewayError::WindowBudget { retry_after, rate })
        }
        Verdict::Refused(Refusal::TotalBudget { exhausted: true, .. }) => {
            g.ports.expiry.expire(key.id);
            Err(GatewayError::TotalBudgetExhausted)
        }
        Verdict::Refused(Refusal::TotalBudget { exhausted: false, rate }) => {
            Err(GatewayError::TotalBudgetFull { rate })
        }
        Verdict::Refused(Refusal::Quota { rate, .. }) => Err(GatewayError::Quota { rate }),
    }
}

const fn has_room_for_less(refusal: Refusal) -> bool {
    matches!(
        refusal,
        Refusal::WindowBudget { exhausted: false, .. }
            | Refusal::TotalBudget { exhausted: false, .. }
            | Refusal::Quota { exhausted: false, .. }
    )
}

/// What to set aside at first: an upper bound that costs nothing to compute.
fn first_hold(bid: &Bid<'_>, rules: &Rules) -> Result<Money, GatewayError> {
    let Bid { planned, price, body } = *bid;
    let Some(price) = price.filter(|_| rules.has_budget()) else { return Ok(Money::ZERO) };
    let limits = price.limits();
    let worst = || planned.provider.worst_case(&planned.endpoint, &planned.call, body, &limits);
    match rules.mode {
        BudgetMode::Observe => Ok(Money::ZERO),
        BudgetMode::Strict => worst().map(|usage| price.ceiling(&usage)).ok_or(GatewayError::Unbounded),
        BudgetMode::Reserve => Ok(match worst() {
            Some(usage) => price.ceiling(&usage),
            None => price.cost(&planned.provider.estimate(&planned.endpoint, &planned.call, body, &limits)),
        }),
    }
}

/// The prompt counted by tokenizer plus the output bound. Milliseconds of work for a long prompt, so not on a listener's thread.
async fn counted_hold(planned: &Planned, price: &Price, body: &Bytes) -> Money {
    let (provider, endpoint, call) = (planned.provider.clone(), planned.endpoint.clone(), planned.call.clone());
    let (price, body) = (price.clone(), body.clone());
    let count = tokio::task::spawn_blocking(move || {
        let usage = provider.estimate(&endpoint, &call, &body, &price.limits());
        debug_assert!(usage.source == UsageSource::Estimated);
        price.cost(&usage)
    });
    count.await.unwrap_or(Money::MAX)
}
