//! Shared counts on a real server: the same verdicts as in memory, exact over several gateways, whole after any loss.

mod loss;
mod several;

use super::*;
use crate::domain::{BudgetMode, EventId, QuotaRule, RateLimit, SpendLimit, Window};
use crate::limits::{Held, Rules, Since, Standing};
use crate::redis::{LinkSettings, Node};
use crate::servers::Redis;
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use uuid::Uuid;

/// 2024-02-01T00:00:15Z.
const NOW: UnixMillis = UnixMillis(1_706_745_615_000);

/// One event of the ledger.
#[derive(Clone, Copy)]
struct Entry {
    instance: InstanceId,
    key: KeyId,
    cost: Money,
    at: UnixMillis,
}

/// A ledger in memory: what was settled gets into it when a test says so.
#[derive(Default)]
struct Book {
    entries: Mutex<Vec<Entry>>,
    accounts: Mutex<HashMap<KeyId, (Account, Money)>>,
    away: AtomicBool,
    asked: AtomicU64,
}

impl Book {
    fn drain(&self, instance: i32, settlement: &Settlement) {
        let Settlement { key, cost, at, quota, .. } = *settlement;
        self.entries.lock().push(Entry { instance: InstanceId(instance), key, cost, at });
        if let Some(rule) = quota {
            self.accounts.lock().entry(key).or_default().0.charge(cost, rule);
        }
    }
    fn credit(&self, key: KeyId, amount: Money) {
        let mut accounts = self.accounts.lock();
        let (account, credited) = accounts.entry(key).or_default();
        account.balance = account.balance.saturating_add(amount);
        *credited = credited.saturating_add(amount);
    }
    fn by_instance(entries: impl Iterator<Item = Entry>) -> HashMap<InstanceId, (Money, u64)> {
        entries.fold(HashMap::new(), |mut sums, entry| {
            let (spent, count): &mut (Money, u64) = sums.entry(entry.instance).or_default();
            *spent = spent.saturating_add(entry.cost);
            *count += 1;
            sums
        })
    }
}

#[async_trait]
impl SharedLedger for Book {
    async fn standing(&self, key: KeyId, since: Since) -> Result<Standing, CountersUnavailable> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.away.load(Ordering::Relaxed) {
            return Err(CountersUnavailable);
        }
        let entries: Vec<Entry> = self.entries.lock().iter().filter(|e| e.key == key).copied().collect();
        let after =
            |start: Option<UnixMillis>| entries.iter().copied().filter(move |e| start.is_some_and(|s| e.at >= s));
        let (account, credited) = self.accounts.lock().get(&key).copied().unwrap_or_default();
        Ok(Standing {
            spent: Self::by_instance(entries.iter().copied()).into_iter().map(|(id, (spent, _))| (id, spent)).collect(),
            window_spent: after(since.window).fold(Money::ZERO, |sum, e| sum.saturating_add(e.cost)),
            admitted: Self::by_instance(after(since.rate)).into_iter().map(|(id, (_, count))| (id, count)).collect(),
            account,
            credited,
        })
    }
    async fn spent_by(&self, instance: InstanceId) -> Result<Vec<(KeyId, Money)>, CountersUnavailable> {
        let mut spent: HashMap<KeyId, Money> = HashMap::new();
        for entry in self.entries.lock().iter().filter(|e| e.instance == instance) {
            let sum = spent.entry(entry.key).or_default();
            *sum = sum.saturating_add(entry.cost);
        }
        Ok(spent.into_iter().collect())
    }
}

fn settings(redis: &Redis) -> LinkSettings {
    LinkSettings {
        nodes: vec![Node { host: "127.0.0.1".into(), port: redis.port }],
        user: None,
        password: None,
        database: 0,
        tls: None,
        timeout: Duration::from_secs(2),
        connect_timeout: Duration::from_secs(2),
        prefix: "test".into(),
    }
}

/// One gateway; its link can be trusted.
async fn gateway(redis: &Redis, book: &Arc<Book>, instance: i32) -> SharedCounters {
    let counters = gateway_at(redis, book, instance, OnOutage::Local).await;
    counters.core.trusted().await;
    counters
}

async fn gateway_at(redis: &Redis, book: &Arc<Book>, instance: i32, on_outage: OnOutage) -> SharedCounters {
    let (link, picture) = (Link::open(settings(redis)), Arc::new(MemoryCounters::new()));
    SharedCounters::open(link, book.clone(), InstanceId(instance), picture, on_outage).await.unwrap()
}

/// A server for tests that do not touch it.
fn shared_server() -> &'static Redis {
    static SERVER: OnceLock<Redis> = OnceLock::new();
    SERVER.get_or_init(Redis::start)
}

fn usd(units: i64) -> Money {
    Money::from_units(units)
}
fn new_key() -> KeyId {
    KeyId::from_uuid(Uuid::new_v4())
}
fn new_event() -> EventId {
    EventId::from_uuid(Uuid::new_v4())
}
fn later(millis: i64) -> UnixMillis {
    UnixMillis(NOW.0 + millis)
}
fn no_rules(mode: BudgetMode) -> Rules {
    Rules { rate: None, total_budget: None, window_budget: None, quota: None, mode }
}
fn rate(limit: u64, window: Window) -> Rules {
    Rules { rate: Some(RateLimit { limit, window }), ..no_rules(BudgetMode::Reserve) }
}
fn total(limit: i64, mode: BudgetMode) -> Rules {
    Rules { total_budget: Some(usd(limit)), ..no_rules(mode) }
}
fn ask(key: KeyId, rules: Rules, now: UnixMillis, hold: i64) -> Ask {
    let hold_expires = now.plus(Duration::from_secs(600));
    Ask { key, rules, event: new_event(), now, hold: usd(hold), hold_expires }
}
fn end(ask: &Ask, cost: i64, at: UnixMillis) -> Settlement {
    Settlement { key: ask.key, event: ask.event, cost: usd(cost), at, quota: ask.rules.quota }
}
async fn passes(counters: &SharedCounters, ask: &Ask) -> bool {
    matches!(counters.admit(ask).await.unwrap(), Verdict::Admitted { .. })
}

/// Waits for a condition; panics with `what` when it never comes true.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..2_000 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never came true: {what}");
}

#[derive(Clone, Debug)]
enum Act {
    Admit { hold: i64 },
    Settle { which: usize, cost: i64 },
    Release { which: usize },
    Wait { millis: i64 },
    Credit { amount: i64 },
    ResetRate,
    ResetWindow,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    // The sum of all costs stays below what an amount can be: there both saturate, each in its way.
    let cost = prop_oneof![0..20_i64, Just(999_999_999), Just(1_000_000_000), 0..i64::MAX / 64];
    let hold = prop_oneof![0..20_i64, Just(i64::MAX), Just(1_000_000_000), 0..i64::MAX];
    let act = prop_oneof![
        6 => hold.prop_map(|hold| Act::Admit { hold }),
        4 => (any::<usize>(), cost).prop_map(|(which, cost)| Act::Settle { which, cost }),
        1 => any::<usize>().prop_map(|which| Act::Release { which }),
        2 => prop_oneof![1..2_000_i64, Just(60_000), Just(700_000)].prop_map(|millis| Act::Wait { millis }),
        1 => (0..30_i64).prop_map(|amount| Act::Credit { amount }),
        1 => Just(Act::ResetRate),
        1 => Just(Act::ResetWindow),
    ];
    proptest::collection::vec(act, 1..40)
}

fn rules() -> impl Strategy<Value = Rules> {
    let limit = prop_oneof![0..60_i64, Just(5_000_000_000), Just(i64::MAX)];
    let window = prop_oneof![Just(Window::Second), Just(Window::Minute), Just(Window::Month)];
    let modes = prop_oneof![Just(BudgetMode::Observe), Just(BudgetMode::Reserve), Just(BudgetMode::Strict)];
    (
        proptest::option::of((0..8_u64, window.clone()).prop_map(|(limit, window)| RateLimit { limit, window })),
        proptest::option::of(limit.clone().prop_map(usd)),
        proptest::option::of((limit.clone(), window).prop_map(|(l, window)| SpendLimit { limit: usd(l), window })),
        proptest::option::of(
            limit.prop_map(|quota| QuotaRule { quota: usd(quota), month: Window::Month.bounds(NOW).0 }),
        ),
        modes,
    )
        .prop_map(|(rate, total_budget, window_budget, quota, mode)| Rules {
            rate,
            total_budget,
            window_budget,
            quota,
            mode,
        })
}

/// Whatever happens to one key of one gateway: word for word what counts in memory say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verdicts_are_those_of_counts_in_memory() {
    let book = Arc::new(Book::default());
    let shared = Arc::new(gateway(shared_server(), &book, 1).await);
    let runtime = tokio::runtime::Handle::current();
    let check = move || {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(400));
        runner
            .run(&(rules(), acts()), |(rules, acts)| {
                runtime.block_on(compare(&shared, &book, rules, &acts));
                Ok(())
            })
            .unwrap();
    };
    tokio::task::spawn_blocking(check).await.unwrap();
}

async fn compare(shared: &SharedCounters, book: &Book, rules: Rules, acts: &[Act]) {
    if rules.is_empty() {
        return;
    }
    let (memory, key) = (MemoryCounters::new(), new_key());
    let (mut now, mut flying) = (NOW, Vec::new());
    for (n, act) in acts.iter().enumerate() {
        match act {
            Act::Admit { hold } => {
                let ask = ask(key, rules, now, *hold);
                let (in_memory, told) = (memory.admit_now(&ask), shared.admit(&ask).await.unwrap());
                assert_eq!(told, in_memory, "{n}: {act:?} of {acts:?} under {rules:?}");
                if matches!(told, Verdict::Admitted { .. }) {
                    flying.push(ask);
                }
            }
            Act::Settle { which, cost } if !flying.is_empty() => {
                let end = end(&flying.swap_remove(which % flying.len()), *cost, now);
                for _ in 0..2 {
                    memory.settle(end);
                    shared.settle(end);
                }
                assert!(shared.flush(Duration::from_secs(5)).await);
            }
            Act::Release { which } if !flying.is_empty() => {
                let ask = flying.swap_remove(which % flying.len());
                memory.release(&ask);
                shared.core.picture.release_now(&ask);
                let places = script::places(shared.core.link.prefix(), key);
                let release = script::release(shared.core.instance, &ask);
                assert!(shared.core.run(&shared.core.scripts.release, &places, &release).await.is_ok());
            }
            Act::Wait { millis } => now = UnixMillis(now.0 + millis),
            Act::Credit { amount } => {
                book.credit(key, usd(*amount));
                memory.credit(key, usd(*amount)).await;
                shared.credit(key, usd(*amount)).await;
            }
            Act::ResetRate => {
                memory.reset_rate(key).await;
                shared.reset_rate(key).await;
            }
            Act::ResetWindow => {
                memory.reset_window_budget(key).await;
                shared.reset_window_budget(key).await;
            }
            Act::Settle { .. } | Act::Release { .. } => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_disagree_admit_no_more() {
    let counters = gateway(shared_server(), &Arc::new(Book::default()), 1).await;
    let (late, back) = (new_key(), new_key());
    let one = rate(1, Window::Minute);
    assert!(passes(&counters, &ask(late, one, later(45_000), 0)).await);
    assert!(!passes(&counters, &ask(late, one, later(44_999), 0)).await, "it counts in the newer window");
    assert!(!passes(&counters, &ask(late, one, later(45_001), 0)).await);
    assert!(passes(&counters, &ask(back, one, later(86_400_000), 0)).await);
    assert!(!passes(&counters, &ask(back, one, NOW, 0)).await, "the clock was set back");
    assert!(passes(&counters, &ask(back, one, later(45_000), 0)).await, "the next minute of the right clock");
}

#[test]
fn holds_of_an_ask_are_known_by_their_place() {
    let (own, key) = (Own::new(), new_key());
    let ask = ask(key, total(10, BudgetMode::Strict), NOW, 5);
    let held = Held { event: ask.event, amount: usd(5), expires: later(1) };
    assert!(!own.asks(&ask, 1));
    let statement = own.whole(key, 1, || vec![held]);
    assert_eq!(statement.running, [(held.event, None), (held.event, Some((usd(5), later(1))))]);
    assert!(!own.is_told(key, 1), "not before it has arrived");
    own.told(key);
    assert!(own.is_told(key, 1) && !own.is_told(key, 2));
}
