//! What the fields of a key must be. First every field alone, all mistakes at once; then rules between two fields.
//! Pure: whether settings exist and keys are unique is asked in `service`.

use crate::admin::fields::Invalid;
use crate::domain::{AllowedPath, BudgetMode, Key, Money, RateLimit, Secret, SettingId, SpendLimit, Window, duration};

const RATE_UNITS: [Window; 4] = [Window::Second, Window::Minute, Window::Hour, Window::Day];
const COST_UNITS: [Window; 4] = [Window::Minute, Window::Hour, Window::Day, Window::Month];

/// A key as somebody wants it: absent = default on creation, unchanged on a change.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) name: Option<String>,
    /// Only on creation.
    pub(super) key: Option<Secret>,
    /// Only on creation.
    pub(super) ttl: Option<String>,
    pub(super) tags: Option<Vec<String>>,
    pub(super) revoked: Option<bool>,
    pub(super) revoked_reason: Option<String>,
    pub(super) total_usd: Option<f64>,
    pub(super) window_usd: Option<f64>,
    pub(super) window_unit: Option<String>,
    pub(super) rate: Option<i64>,
    pub(super) rate_unit: Option<String>,
    pub(super) setting_id: Option<String>,
    pub(super) setting_ids: Option<Vec<String>>,
    pub(super) allowed_paths: Option<Vec<AllowedPath>>,
    pub(super) log_request: Option<bool>,
    pub(super) log_response: Option<bool>,
    pub(super) rotation: Option<bool>,
    pub(super) policy_id: Option<String>,
    pub(super) is_key_not_hashed: Option<bool>,
    pub(super) budget_mode: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Creation,
    Change,
}

/// The settings a draft names, by whichever of the two forms.
pub(super) struct Settings {
    pub(super) single: bool,
    pub(super) ids: Vec<SettingId>,
}

impl Settings {
    /// The field's name of one of the ids.
    pub(super) fn field(&self, index: usize) -> String {
        if self.single { "settingId".into() } else { format!("settingIds[{index}]") }
    }
}

/// A draft that keeps all rules that can be checked without a store. Outer `None` = not given.
pub(super) struct Checked {
    pub(super) draft: Draft,
    pub(super) settings: Option<Settings>,
    pub(super) total_budget: Option<Option<Money>>,
    pub(super) window_budget: Option<Option<SpendLimit>>,
    pub(super) rate: Option<Option<RateLimit>>,
    pub(super) budget_mode: Option<Option<BudgetMode>>,
}

pub(super) fn check(draft: Draft, purpose: Purpose) -> Result<Checked, Invalid> {
    let mut invalid = Invalid::default();
    texts(&draft, purpose, &mut invalid);
    let settings = settings(&draft, purpose, &mut invalid);
    let total = draft.total_usd.map(|usd| invalid.usd("costLimitInUsd", usd));
    let spend = draft.window_usd.map(|usd| invalid.usd("costLimitInUsdOverTime", usd));
    let spend_unit = draft.window_unit.as_deref().map(|u| invalid.unit("costLimitInUsdUnit", u, &COST_UNITS));
    let rate = draft.rate.map(|n| invalid.count("rateLimitOverTime", n));
    let rate_unit = draft.rate_unit.as_deref().map(|u| invalid.unit("rateLimitUnit", u, &RATE_UNITS));
    let budget_mode = draft.budget_mode.as_deref().map(|mode| budget_mode(mode, &mut invalid));
    invalid.none_or_all()?;

    if given(draft.setting_id.as_ref()).is_some() && given_list(draft.setting_ids.as_ref()).is_some() {
        return Err(Invalid::one("settingIds", "and settingId must not both be given"));
    }
    let spend = spend.map(|amount| (!amount.is_zero()).then_some(amount));
    let rate = rate.map(|number| (number > 0).then_some(number));
    let window_budget = pair(("costLimitInUsdOverTime", spend), ("costLimitInUsdUnit", spend_unit), purpose)?;
    let rate = pair(("rateLimitOverTime", rate), ("rateLimitUnit", rate_unit), purpose)?;
    Ok(Checked {
        settings,
        total_budget: total.map(|limit| (!limit.is_zero()).then_some(limit)),
        window_budget: window_budget.map(|both| both.map(|(limit, window)| SpendLimit { limit, window })),
        rate: rate.map(|both| both.map(|(limit, window)| RateLimit { limit, window })),
        budget_mode,
        draft,
    })
}

fn texts(draft: &Draft, purpose: Purpose, invalid: &mut Invalid) {
    let name = draft.name.as_deref().unwrap_or_default();
    match purpose {
        Purpose::Creation => {
            invalid.filled("name", name);
            raw_key(draft.key.as_ref(), invalid);
            ttl(draft.ttl.as_deref().unwrap_or_default(), invalid);
        }
        Purpose::Change => invalid.text("name", name),
    }
    invalid.all_filled("tags", draft.tags.as_deref().unwrap_or_default());
    invalid.text("revokedReason", draft.revoked_reason.as_deref().unwrap_or_default());
    for (n, allowed) in draft.allowed_paths.iter().flatten().enumerate() {
        invalid.filled(&format!("allowedPaths.{n}.path"), &allowed.path);
        invalid.filled(&format!("allowedPaths.{n}.method"), &allowed.method);
    }
    // LIMIT: there are no policies yet. A key must not name one that nobody enforces.
    if draft.policy_id.as_ref().is_some_and(|id| !id.is_empty()) {
        invalid.add("policyId", "does not exist");
    }
}

/// A key that no header can carry could never be used.
fn raw_key(key: Option<&Secret>, invalid: &mut Invalid) {
    let raw = key.map(Secret::expose).unwrap_or_default();
    if raw.is_empty() {
        invalid.add("key", "must not be empty");
    } else if raw.chars().any(char::is_control) {
        invalid.add("key", "must not contain control characters");
    } else if raw.trim().len() != raw.len() {
        invalid.add("key", "must not begin or end with white space");
    }
}

fn ttl(text: &str, invalid: &mut Invalid) {
    if !text.is_empty() && duration::parse(text).is_none() {
        invalid.add("ttl", "must be a duration such as 30s, 5m, 24h or 2d");
    }
}

fn budget_mode(name: &str, invalid: &mut Invalid) -> Option<BudgetMode> {
    let mode = BudgetMode::parse(name);
    if mode.is_none() && !name.is_empty() {
        invalid.add("budgetMode", "must be observe, reserve or strict");
    }
    mode
}

/// Empty counts as not given, so that an object can be sent back as it was received.
fn given(id: Option<&String>) -> Option<&String> {
    id.filter(|id| !id.is_empty())
}

fn given_list(ids: Option<&Vec<String>>) -> Option<&Vec<String>> {
    ids.filter(|ids| !ids.is_empty())
}

fn settings(draft: &Draft, purpose: Purpose, invalid: &mut Invalid) -> Option<Settings> {
    let single = given(draft.setting_id.as_ref());
    let texts: &[String] = match (given_list(draft.setting_ids.as_ref()), single) {
        (Some(list), _) => list,
        (None, Some(one)) => std::slice::from_ref(one),
        (None, None) => {
            if purpose == Purpose::Creation {
                invalid.add("settingIds", "must not be empty");
            }
            return None;
        }
    };
    let single = given_list(draft.setting_ids.as_ref()).is_none();
    let mut settings = Settings { single, ids: Vec::with_capacity(texts.len().min(64)) };
    let mut seen = std::collections::HashSet::new();
    for (n, text) in texts.iter().enumerate() {
        match SettingId::parse(text) {
            Some(id) if seen.insert(id) => settings.ids.push(id),
            Some(_) => invalid.add(&settings.field(n), "is given twice"),
            None if text.is_empty() => invalid.add(&settings.field(n), "must not be empty"),
            None => invalid.add(&settings.field(n), "is not the id of a provider setting"),
        }
    }
    Some(settings)
}

/// One field of a pair: its name and, when it was given, its value or none.
type Side<T> = (&'static str, Option<Option<T>>);

/// An amount and its unit: both or none. A change must name both; a creation may leave out what is empty.
fn pair<A, U>(amount: Side<A>, unit: Side<U>, purpose: Purpose) -> Result<Option<Option<(A, U)>>, Invalid> {
    let (amount_field, amount) = amount;
    let (unit_field, unit) = unit;
    match (amount, unit) {
        (None, None) => Ok(None),
        (None, Some(_)) if purpose == Purpose::Change => {
            Err(Invalid::one(amount_field, format!("must be given together with {unit_field}")))
        }
        (Some(_), None) if purpose == Purpose::Change => {
            Err(Invalid::one(unit_field, format!("must be given together with {amount_field}")))
        }
        (amount, unit) => match (amount.flatten(), unit.flatten()) {
            (None, None) => Ok(Some(None)),
            (Some(amount), Some(unit)) => Ok(Some(Some((amount, unit)))),
            (Some(_), None) => {
                Err(Invalid::one(unit_field, format!("must not be empty when {amount_field} is above 0")))
            }
            (None, Some(_)) => Err(Invalid::one(amount_field, format!("must be above 0 when {unit_field} is given"))),
        },
    }
}

impl Checked {
    /// Writes what was given over `key`.
    pub(super) fn apply(&self, key: &mut Key) {
        let draft = &self.draft;
        if let Some(name) = draft.name.as_ref().filter(|name| !name.is_empty()) {
            key.name = name.as_str().into();
        }
        if let Some(tags) = &draft.tags {
            key.tags = tags.iter().map(|tag| tag.as_str().into()).collect();
        }
        match draft.revoked {
            Some(true) => {
                key.revoked = true;
                if let Some(reason) = &draft.revoked_reason {
                    key.revoked_reason = reason.as_str().into();
                }
            }
            Some(false) => {
                key.revoked = false;
                key.revoked_reason = "".into();
            }
            None => {}
        }
        if let Some(settings) = &self.settings {
            key.single_setting = settings.single;
            key.setting_ids = settings.ids.as_slice().into();
        }
        if let Some(paths) = &draft.allowed_paths {
            key.allowed_paths = paths.as_slice().into();
        }
        if draft.policy_id.is_some() {
            key.policy_id = "".into();
        }
        key.rate = self.rate.unwrap_or(key.rate);
        key.total_budget = self.total_budget.unwrap_or(key.total_budget);
        key.window_budget = self.window_budget.unwrap_or(key.window_budget);
        key.budget_mode = self.budget_mode.unwrap_or(key.budget_mode);
        key.log_request = draft.log_request.unwrap_or(key.log_request);
        key.log_response = draft.log_response.unwrap_or(key.log_response);
        key.rotation = draft.rotation.unwrap_or(key.rotation);
    }
}
