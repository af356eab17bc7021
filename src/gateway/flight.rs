//! Single flight: of many who ask the same at the same time, one asks the upstream and the others get its answer.

use crate::routing::{CacheKey, CachedAnswer};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Below it, those who have left are not looked for.
const FEW: usize = 64;

/// Who is on the way for what. No flight is kept for longer than its leader lives.
#[derive(Debug)]
pub(super) struct Flights {
    under_way: Mutex<HashMap<CacheKey, Waiting>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order in which they came, some of whom may have left.
    followers: VecDeque<oneshot::Sender<Landed>>,
    /// As soon as there are so many, those who have left are struck off.
    tidy_at: usize,
}

/// What somebody who asks has to do.
#[derive(Debug)]
pub(super) enum Role {
    /// Ask the upstream.
    Leader(LeaderGuard),
    /// Wait for whoever does.
    Follower(Follower),
    /// Ask the upstream and tell nobody: as many flights as may be are under way.
    Alone,
}

/// How a flight ended for a follower.
#[derive(Debug)]
pub(super) enum Landed {
    Answer(Arc<CachedAnswer>),
    /// There is no answer that could be shared: ask the upstream, and tell nobody.
    Alone,
    /// Whoever led has left without a word: ask the upstream for those who still wait.
    LeadNow(LeaderGuard),
}

impl Flights {
    /// `most`: flights at once, for any number of followers each.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { under_way: Mutex::default(), most })
    }

    pub(super) fn join(self: &Arc<Self>, key: CacheKey) -> Role {
        let mut under_way = self.under_way.lock();
        if let Some(waiting) = under_way.get_mut(&key) {
            let (told, landed) = oneshot::channel();
            waiting.add(told);
            return Role::Follower(Follower { landed });
        }
        if under_way.len() >= self.most {
            return Role::Alone;
        }
        under_way.insert(key, Waiting::default());
        Role::Leader(LeaderGuard { flights: Arc::clone(self), key, leads: true })
    }

    /// Ends a flight; whoever asks from now on begins another one.
    fn end(&self, key: CacheKey) -> Waiting {
        self.under_way.lock().remove(&key).unwrap_or_default()
    }

    /// The follower who has waited longest, or the end of the flight.
    fn next_of(&self, key: CacheKey) -> Option<oneshot::Sender<Landed>> {
        let mut under_way = self.under_way.lock();
        let next = under_way.get_mut(&key)?.followers.pop_front();
        if next.is_none() {
            under_way.remove(&key);
        }
        next
    }
}

impl Waiting {
    fn add(&mut self, told: oneshot::Sender<Landed>) {
        if self.followers.len() >= self.tidy_at.max(FEW) {
            self.followers.retain(|follower| !follower.is_closed());
            self.tidy_at = self.followers.len().saturating_mul(2);
        }
        self.followers.push_back(told);
    }
}

/// Whoever leads a flight. Dropped without a word, it makes a follower the leader.
#[must_use = "the followers wait for what comes of it"]
pub(super) struct LeaderGuard {
    flights: Arc<Flights>,
    key: CacheKey,
    leads: bool,
}

impl fmt::Debug for LeaderGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaderGuard").field("key", &self.key).finish_non_exhaustive()
    }
}

impl LeaderGuard {
    /// All followers get the answer. To be kept before it is told: whoever comes between finds neither otherwise.
    pub(super) fn finish(mut self, answer: &Arc<CachedAnswer>) {
        self.leads = false;
        for follower in self.flights.end(self.key).followers {
            // Whoever has left needs none.
            drop(follower.send(Landed::Answer(Arc::clone(answer))));
        }
    }

    /// All followers go on by themselves.
    pub(super) fn fail(mut self) {
        self.leads = false;
        for follower in self.flights.end(self.key).followers {
            drop(follower.send(Landed::Alone));
        }
    }
}

impl Drop for LeaderGuard {
    fn drop(&mut self) {
        while self.leads {
            let Some(follower) = self.flights.next_of(self.key) else { return };
            let next = Self { flights: Arc::clone(&self.flights), key: self.key, leads: true };
            // A follower that leaves later drops what it was given, which comes here again.
            self.leads = match follower.send(Landed::LeadNow(next)) {
                Ok(()) => false,
                // It has left before. What comes back must not hand on as well: this loop does.
                Err(Landed::LeadNow(mut unwanted)) => std::mem::take(&mut unwanted.leads),
                Err(_) => true,
            };
        }
    }
}

/// Somebody who waits for a leader. May leave at any time, by being dropped.
#[derive(Debug)]
pub(super) struct Follower {
    landed: oneshot::Receiver<Landed>,
}

impl Follower {
    /// How it ended. There is no limit of time but the leader's: a follower has its own deadline.
    pub(super) async fn wait(self) -> Landed {
        self.landed.await.unwrap_or(Landed::Alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UnixMillis;
    use crate::routing::AnswerForm;
    use bytes::Bytes;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use tokio::task::JoinSet;
    use tokio::time::timeout;

    const KEY: CacheKey = CacheKey::new([1; 32]);

    fn answer() -> Arc<CachedAnswer> {
        Arc::new(CachedAnswer {
            form: AnswerForm::Whole,
            content_type: "application/json".into(),
            body: Bytes::from_static(b"{}"),
            provider: "p".into(),
            model: "m".into(),
            step: 1,
            usage: crate::domain::Usage::default(),
            stored_at: UnixMillis(0),
            expires_at: UnixMillis(1),
        })
    }

    fn lead(flights: &Arc<Flights>) -> LeaderGuard {
        let Role::Leader(guard) = flights.join(KEY) else { panic!("somebody leads already") };
        guard
    }

    fn follow(flights: &Arc<Flights>) -> Follower {
        let Role::Follower(follower) = flights.join(KEY) else { panic!("nobody leads") };
        follower
    }

    fn is_empty(flights: &Flights) -> bool {
        flights.under_way.lock().is_empty()
    }

    #[tokio::test]
    async fn all_followers_get_the_leaders_answer() {
        let flights = Flights::new(10);
        let leader = lead(&flights);
        let mut followers: JoinSet<Landed> = (0..1_000).map(|_| follow(&flights).wait()).collect();
        tokio::task::yield_now().await;
        leader.finish(&answer());
        while let Some(landed) = followers.join_next().await {
            assert!(matches!(landed.unwrap(), Landed::Answer(got) if got == answer()));
        }
        assert!(is_empty(&flights));
        drop(lead(&flights));
    }

    #[tokio::test]
    async fn after_a_failure_everybody_goes_on_alone() {
        let flights = Flights::new(10);
        let leader = lead(&flights);
        let followers: Vec<Follower> = (0..1_000).map(|_| follow(&flights)).collect();
        leader.fail();
        for follower in followers {
            assert!(matches!(follower.wait().await, Landed::Alone));
        }
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn when_the_leader_leaves_exactly_one_takes_over_and_the_others_wait_on() {
        let flights = Flights::new(10);
        let leader = lead(&flights);
        let mut followers: JoinSet<Landed> = (0..1_000).map(|_| follow(&flights).wait()).collect();
        drop(leader);
        let Landed::LeadNow(second) = followers.join_next().await.unwrap().unwrap() else { panic!() };
        assert!(timeout(Duration::from_millis(20), followers.join_next()).await.is_err(), "the others wait");
        let late = follow(&flights);
        second.finish(&answer());
        while let Some(landed) = followers.join_next().await {
            assert!(matches!(landed.unwrap(), Landed::Answer(_)));
        }
        assert!(matches!(late.wait().await, Landed::Answer(_)));
        assert!(is_empty(&flights));
    }

    #[tokio::test]
    async fn a_follower_that_leaves_does_not_take_the_lead_with_it() {
        let flights = Flights::new(10);
        let (leader, gone) = (lead(&flights), follow(&flights));
        let (leaves, stays) = (follow(&flights), follow(&flights));
        drop(gone);
        drop(leader);
        // It was given the lead by now, and never looks.
        drop(leaves);
        let Landed::LeadNow(last) = stays.wait().await else { panic!() };
        assert!(!is_empty(&flights));
        drop(last);
        assert!(is_empty(&flights), "nobody is left");
    }

    #[tokio::test]
    async fn a_follower_that_leaves_while_it_waits_is_passed_over() {
        let flights = Flights::new(10);
        let leader = lead(&flights);
        let impatient = tokio::spawn(timeout(Duration::from_millis(5), follow(&flights).wait()));
        let stays = follow(&flights);
        assert!(impatient.await.unwrap().is_err());
        drop(leader);
        assert!(matches!(stays.wait().await, Landed::LeadNow(_)));
    }

    #[tokio::test]
    async fn above_the_bound_everybody_is_alone() {
        let flights = Flights::new(2);
        let key = |n| CacheKey::new([n; 32]);
        let (first, second) = (flights.join(key(1)), flights.join(key(2)));
        assert!(matches!((&first, &second), (Role::Leader(_), Role::Leader(_))));
        assert!(matches!(flights.join(key(3)), Role::Alone));
        assert!(matches!(flights.join(key(2)), Role::Follower(_)), "who is under way may be followed");
        drop(second);
        assert!(matches!(flights.join(key(3)), Role::Leader(_)));
        assert!(matches!(Flights::new(0).join(key(1)), Role::Alone));
        drop(first);
    }

    #[tokio::test]
    async fn those_who_have_left_take_no_room() {
        let flights = Flights::new(1);
        let leader = lead(&flights);
        let stays: Vec<Follower> = (0..100).map(|_| follow(&flights)).collect();
        for _ in 0..100_000 {
            drop(follow(&flights));
        }
        assert!(flights.under_way.lock()[&KEY].followers.len() <= 201);
        leader.finish(&answer());
        for follower in stays {
            assert!(matches!(follower.wait().await, Landed::Answer(_)));
        }
    }

    /// Leaders and followers that give up at any moment: there is never more than one leader, and everybody who stays
    /// hears how it ended.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn whoever_leaves_the_others_come_to_an_end() {
        let flights = Flights::new(10);
        let (leading, answered) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for n in 0..2_000_u64 {
            let (flights, leading, answered) = (flights.clone(), leading.clone(), answered.clone());
            tasks.spawn(async move {
                let patience = Duration::from_micros(if n % 3 == 0 { n % 700 } else { 60_000_000 });
                let asks = async {
                    let guard = match flights.join(KEY) {
                        Role::Leader(guard) => guard,
                        Role::Follower(follower) => match follower.wait().await {
                            Landed::LeadNow(guard) => guard,
                            Landed::Answer(_) | Landed::Alone => return true,
                        },
                        Role::Alone => panic!("one key is one flight"),
                    };
                    assert_eq!(leading.fetch_add(1, Ordering::SeqCst), 0, "two lead");
                    let left = Left(&leading);
                    tokio::time::sleep(Duration::from_micros(n % 300)).await;
                    drop(left);
                    match n % 4 {
                        0 => guard.finish(&answer()),
                        1 => guard.fail(),
                        _ => {}
                    }
                    true
                };
                if timeout(patience, asks).await.unwrap_or(false) {
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        timeout(Duration::from_secs(30), tasks.join_all()).await.expect("somebody waits for ever");
        assert!(answered.load(Ordering::SeqCst) >= 1_333, "all who stayed");
        assert!(is_empty(&flights));
    }

    /// Counts a leader out before its guard, which is dropped after it, makes the next one.
    struct Left<'a>(&'a AtomicUsize);
    impl Drop for Left<'_> {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
