//! The scripts, their arguments and their answers. Each is one round trip, and one step as all other gateways see it.

use crate::counters::entry::clamp;
use crate::domain::{Account, BudgetMode, EventId, InstanceId, KeyId, Money, QuotaRule, UnixMillis, Window};
use crate::limits::{Ask, Counts, Since, Standing};
use crate::redis::Script;
use redis::Value;

/// Counts of a key that nobody asks for are forgotten after this, and made of the ledger when somebody does again.
const KEEP_SECONDS: u64 = 2 * 24 * 3600;

macro_rules! script {
    ($name:literal) => {
        Script::new(concat!(include_str!("money.lua"), "\n", include_str!($name)))
    };
}

pub(super) struct Scripts {
    pub(super) admit: Script,
    pub(super) settle: Script,
    pub(super) release: Script,
    pub(super) restate: Script,
    pub(super) rebuild: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            admit: script!("admit.lua"),
            settle: script!("settle.lua"),
            release: script!("release.lua"),
            restate: script!("restate.lua"),
            rebuild: script!("rebuild.lua"),
        }
    }
}

/// Where a key's counts and holds are: one hash tag, so a cluster has both on one server.
pub(super) fn places(prefix: &str, key: KeyId) -> [String; 2] {
    let id = key.as_uuid().simple();
    [format!("{prefix}:{{{id}}}:counts"), format!("{prefix}:{{{id}}}:holds")]
}

/// Arguments in order; every one is text.
#[derive(Debug, Default)]
pub(super) struct Arguments(Vec<String>);

impl Arguments {
    #[expect(clippy::needless_pass_by_value, reason = "numbers and literals, and texts that are made for it")]
    fn push(&mut self, value: impl ToString) {
        self.0.push(value.to_string());
    }
    fn blank(&mut self, count: usize) {
        self.0.extend(std::iter::repeat_n(String::new(), count));
    }
    pub(super) fn as_slices(&self) -> Vec<&[u8]> {
        self.0.iter().map(String::as_bytes).collect()
    }
}

/// As holds are named: sorts by time.
fn event_text(event: EventId) -> String {
    event.as_uuid().simple().to_string()
}

pub(super) fn admit(instance: InstanceId, ask: &Ask) -> Arguments {
    let mut all = Arguments::default();
    all.push(instance);
    all.push(ask.now.0);
    all.push(KEEP_SECONDS);
    all.push(match ask.rules.mode {
        BudgetMode::Observe => "observe",
        BudgetMode::Reserve => "reserve",
        BudgetMode::Strict => "strict",
    });
    all.push(ask.hold.max(Money::ZERO).units());
    all.push(event_text(ask.event));
    all.push(ask.hold_expires.0);
    match ask.rules.rate {
        Some(rule) => {
            all.push(rule.limit);
            window(&mut all, rule.window, ask.now);
        }
        None => all.blank(3),
    }
    match ask.rules.window_budget {
        Some(rule) => {
            all.push(rule.limit.units());
            window(&mut all, rule.window, ask.now);
        }
        None => all.blank(3),
    }
    match ask.rules.total_budget {
        Some(limit) => all.push(limit.units()),
        None => all.blank(1),
    }
    quota(&mut all, ask.rules.quota);
    all
}

fn quota(all: &mut Arguments, rule: Option<QuotaRule>) {
    match rule {
        Some(rule) => {
            all.push(rule.quota.units());
            all.push(rule.month.0);
        }
        None => all.blank(2),
    }
}

fn window(all: &mut Arguments, window: Window, at: UnixMillis) {
    all.push(window.unit());
    all.push(window.bounds(at).0.0);
}

/// What an admission was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) admitted: bool,
    /// Before it took anything.
    pub(super) counts: Counts,
    /// Admitted by this instance in the rate window, this ask included.
    pub(super) own_admitted: u64,
    /// What this instance has told of its spend.
    pub(super) own_spent: Money,
}

/// `None`: the counts have to be rebuilt first. An error: not what the script says.
pub(super) fn read_admit(value: &Value) -> Result<Option<Answer>, Unreadable> {
    let Value::Array(parts) = value else { return Err(Unreadable) };
    let number = |at: usize| parts.get(at).and_then(number).ok_or(Unreadable);
    let money = |at: usize| number(at).map(clamp);
    let count = |at: usize| number(at).map(|n| u64::try_from(n).unwrap_or(0));
    let status = number(0)?;
    if status < 0 {
        return Ok(None);
    }
    let month = UnixMillis(i64::try_from(number(4)?).map_err(|_| Unreadable)?);
    let counts = Counts {
        admitted: count(1)?,
        window_spent: money(2)?,
        total_spent: money(3)?,
        account: Account { month, month_fee: money(5)?, balance: money(6)? },
        held: money(7)?,
        in_flight: count(8)?,
    };
    Ok(Some(Answer { admitted: status == 1, counts, own_admitted: count(9)?, own_spent: money(10)? }))
}

/// Total and account of the fields s, t and a; `None` when there are no counts.
pub(super) fn read_books(value: &Value) -> Option<(Money, Account)> {
    let Value::Array(parts) = value else { return None };
    let text = |at: usize| match parts.get(at)? {
        Value::BulkString(text) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    text(0)?;
    let money = |text: &str| text.parse().ok().map(clamp);
    let account = text(2).map_or(Some(Account::default()), |text| {
        let mut parts = text.split(':');
        let month = UnixMillis(parts.next()?.parse().ok()?);
        Some(Account { month, month_fee: money(parts.next()?)?, balance: money(parts.next()?)? })
    })?;
    Some((text(1).map_or(Some(Money::ZERO), money)?, account))
}

#[derive(Debug, thiserror::Error)]
#[error("the server answered what the script cannot have said")]
pub(super) struct Unreadable;

/// Sums may leave 64 bits.
fn number(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::BulkString(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        Value::SimpleString(text) => text.parse().ok(),
        _ => None,
    }
}

/// How far a key's spend had come when a request ended, and by which rules that counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Step {
    /// All-time spend of this instance.
    pub(super) spent: Money,
    pub(super) terms: Terms,
}

/// What a cost counts in beside the total.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Terms {
    pub(super) window: Option<(Window, UnixMillis)>,
    pub(super) quota: Option<QuotaRule>,
}

impl Terms {
    fn push(&self, all: &mut Arguments) {
        match self.window {
            Some((window, start)) => {
                all.push(window.unit());
                all.push(start.0);
            }
            None => all.blank(2),
        }
        quota(all, self.quota);
    }
}

pub(super) fn settle(instance: InstanceId, steps: &[Step], over: &[(EventId, Money)]) -> Arguments {
    let mut all = Arguments::default();
    all.push(instance);
    all.push(KEEP_SECONDS);
    all.push(steps.len());
    for step in steps {
        all.push(step.spent.units());
        step.terms.push(&mut all);
    }
    for (event, amount) in over {
        all.push(hold_text(instance, *event, *amount));
    }
    all
}

fn hold_text(instance: InstanceId, event: EventId, amount: Money) -> String {
    format!("{instance}:{}:{}", event_text(event), amount.units())
}

pub(super) fn release(instance: InstanceId, ask: &Ask) -> Arguments {
    let mut all = Arguments::default();
    all.push(instance);
    all.push(hold_text(instance, ask.event, ask.hold.max(Money::ZERO)));
    match ask.rules.rate {
        Some(rule) => window(&mut all, rule.window, ask.now),
        None => all.blank(2),
    }
    all
}

/// Everything that an instance has to say of a key.
#[derive(Debug, Default)]
pub(super) struct Statement {
    pub(super) step: Option<Step>,
    /// Admitted in the window that began then.
    pub(super) rate: Option<(Window, UnixMillis, u64)>,
    /// Running requests, with hold and end of the hold where those are known.
    pub(super) running: Vec<(EventId, Option<(Money, UnixMillis)>)>,
}

pub(super) fn restate(instance: InstanceId, statement: &Statement) -> Arguments {
    let mut all = Arguments::default();
    all.push(instance);
    all.push(KEEP_SECONDS);
    match statement.step {
        Some(step) => {
            all.push(step.spent.units());
            step.terms.push(&mut all);
        }
        None => all.blank(5),
    }
    match statement.rate {
        Some((window, start, admitted)) => {
            all.push(window.unit());
            all.push(start.0);
            all.push(admitted);
        }
        None => all.blank(3),
    }
    for (event, hold) in &statement.running {
        all.push(event_text(*event));
        match hold {
            Some((amount, expires)) => {
                all.push(amount.units());
                all.push(expires.0);
            }
            None => all.blank(2),
        }
    }
    all
}

/// From when on a key's windows count for an ask, and their names.
pub(super) fn since(ask: &Ask) -> Since {
    Since {
        rate: ask.rules.rate.map(|rule| rule.window.bounds(ask.now).0),
        window: ask.rules.window_budget.map(|rule| rule.window.bounds(ask.now).0),
    }
}

/// `ask`: whose counts are made if they are not there; `None` = only what is missing of the total and the account.
pub(super) fn rebuild(ask: Option<&Ask>, standing: &Standing) -> Arguments {
    let mut all = Arguments::default();
    all.push(ask.map_or(0, |_| KEEP_SECONDS));
    match ask.and_then(|ask| Some((ask.rules.rate?, ask.now))) {
        Some((rule, now)) => window(&mut all, rule.window, now),
        None => all.blank(2),
    }
    match ask.and_then(|ask| Some((ask.rules.window_budget?, ask.now))) {
        Some((rule, now)) => {
            window(&mut all, rule.window, now);
            all.push(standing.window_spent.units());
        }
        None => all.blank(3),
    }
    all.push(standing.account.month.0);
    all.push(standing.account.month_fee.units());
    all.push(standing.account.balance.units());
    all.push(standing.credited.units());
    quota(&mut all, ask.and_then(|ask| ask.rules.quota));
    let mut instances: Vec<InstanceId> = standing.spent.iter().map(|(id, _)| *id).collect();
    instances.extend(standing.admitted.iter().map(|(id, _)| *id));
    instances.sort_unstable();
    instances.dedup();
    for id in instances {
        let spent = standing.spent.iter().find(|(of, _)| *of == id).map_or(Money::ZERO, |(_, spent)| *spent);
        let admitted = standing.admitted.iter().find(|(of, _)| *of == id).map_or(0, |(_, count)| *count);
        all.push(id);
        all.push(spent.units());
        all.push(admitted);
    }
    all
}
