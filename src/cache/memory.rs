//! Answers in memory, bounded by their bytes. What is asked for often outlives what was asked for once.

use crate::domain::UnixMillis;
use crate::routing::{AnswerForm, CacheKey, CachedAnswer, ResponseCache};
use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, Weighter};
use std::hash::RandomState;
use std::sync::Arc;

/// What an answer takes beside its texts, in bytes: its struct, its key, its places in table and list, and the slack of
/// both. Measured from above; a test holds it against the sizes of what it is made of.
const OVERHEAD: u64 = 576;
/// Parts with a lock of their own, at most.
const MOST_SHARDS: u64 = 64;
/// Of the largest answers, a part must have room for so many: otherwise they would push each other out.
const LARGEST_PER_SHARD: u64 = 4;
/// Of the memory, for answers that were asked for again. The rest is for new ones, who need time to be: most answers of
/// models are asked for within minutes or never.
const FOR_THE_PROVEN: f64 = 0.5;
/// For the share of memory that remembers what was pushed out; orders of magnitude are good enough.
const USUAL_ANSWER: u64 = 8 * 1024;

/// Bytes, as asked of the allocator, all that an answer takes included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheLimits {
    /// Of all answers together; 0 = none is kept.
    pub memory: u64,
    /// Of one. A larger one is not kept, nor is one that takes more than half of `memory`.
    pub entry: u64,
}

type Key = (CacheKey, AnswerForm);

/// Lookups wait for nobody but a write to the same part; writes are short.
#[derive(Debug)]
pub struct MemoryCache {
    answers: Cache<Key, Arc<CachedAnswer>, Bulk, RandomState>,
    entry: u64,
}

#[derive(Clone, Debug)]
struct Bulk;

impl Weighter<Key, Arc<CachedAnswer>> for Bulk {
    fn weight(&self, _: &Key, answer: &Arc<CachedAnswer>) -> u64 {
        bulk(answer)
    }
}

fn bulk(answer: &CachedAnswer) -> u64 {
    let texts = [answer.body.len(), answer.content_type.len(), answer.provider.len(), answer.model.len()];
    texts.iter().fold(OVERHEAD, |sum, len| sum.saturating_add(*len as u64))
}

impl MemoryCache {
    pub fn new(limits: CacheLimits) -> Self {
        let shards = shards(limits);
        // Each part gets the same, rounded up: a multiple makes all of them no more than was said.
        let memory = limits.memory - limits.memory % shards;
        let estimate = usize::try_from(memory / USUAL_ANSWER).unwrap_or(usize::MAX);
        let mut options = OptionsBuilder::new();
        options.weight_capacity(memory).estimated_items_capacity(estimate);
        options.hot_allocation(FOR_THE_PROVEN).shards(usize::try_from(shards).unwrap_or(1));
        #[expect(clippy::expect_used, reason = "it fails only without the two capacities, which are set above")]
        let options = options.build().expect("both capacities are set");
        Self {
            answers: Cache::with_options(options, Bulk, RandomState::new(), DefaultLifecycle::default()),
            entry: limits.entry,
        }
    }

    fn living(&self, key: Key, now: UnixMillis) -> Option<Arc<CachedAnswer>> {
        let answer = self.answers.get(&key)?;
        if now < answer.expires_at {
            return Some(answer);
        }
        // A newer one may have come in its place.
        self.answers.remove_if(&key, |kept| kept.expires_at <= now);
        None
    }

    /// Forgets what has expired: nobody may ever ask for it again.
    pub fn sweep(&self, now: UnixMillis) {
        self.answers.retain(|_, kept| now < kept.expires_at);
    }

    /// That the answers take now.
    pub fn bytes(&self) -> u64 {
        self.answers.weight()
    }
}

/// A power of two.
fn shards(limits: CacheLimits) -> u64 {
    let room = limits.entry.max(OVERHEAD).saturating_mul(LARGEST_PER_SHARD);
    let most = (limits.memory / room).clamp(1, MOST_SHARDS);
    // The power of two that is not above it.
    1 << most.ilog2()
}

#[async_trait]
impl ResponseCache for MemoryCache {
    async fn get(&self, key: &CacheKey, form: AnswerForm, now: UnixMillis) -> Option<Arc<CachedAnswer>> {
        self.living((*key, form), now).or_else(|| self.living((*key, form.other()), now))
    }

    async fn put(&self, key: &CacheKey, answer: Arc<CachedAnswer>) {
        if bulk(&answer) > self.entry {
            return;
        }
        // A body may be a slice that keeps a whole read buffer alive.
        let kept = CachedAnswer { body: Bytes::copy_from_slice(&answer.body), ..CachedAnswer::clone(&answer) };
        self.answers.insert((*key, answer.form), Arc::new(kept));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    const NOW: UnixMillis = UnixMillis(1_000);
    const LIMITS: CacheLimits = CacheLimits { memory: 1 << 20, entry: 16 << 10 };

    fn key(n: u32) -> CacheKey {
        let mut digest = [7; 32];
        digest[..4].copy_from_slice(&n.to_be_bytes());
        CacheKey::new(digest)
    }

    fn answer(body: impl Into<Bytes>) -> Arc<CachedAnswer> {
        Arc::new(CachedAnswer {
            form: AnswerForm::Whole,
            content_type: "application/json".into(),
            body: body.into(),
            provider: "p".into(),
            model: "m".into(),
            step: 1,
            usage: crate::domain::Usage::default(),
            stored_at: NOW,
            expires_at: UnixMillis(2_000),
        })
    }

    #[tokio::test]
    async fn an_answer_is_there_until_it_expires() {
        let cache = MemoryCache::new(LIMITS);
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None);
        cache.put(&key(1), answer("a")).await;
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, Some(answer("a")));
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, UnixMillis(1_999)).await, Some(answer("a")));
        assert_eq!(cache.get(&key(2), AnswerForm::Whole, NOW).await, None);
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, UnixMillis(2_000)).await, None);
        assert_eq!(cache.bytes(), 0, "and takes no room any more");
    }

    #[tokio::test]
    async fn the_two_forms_of_an_answer_are_two_entries() {
        let cache = MemoryCache::new(LIMITS);
        let stream = Arc::new(CachedAnswer { form: AnswerForm::Stream, ..CachedAnswer::clone(&answer("stream")) });
        cache.put(&key(1), stream.clone()).await;
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, Some(stream.clone()), "there is no other");
        cache.put(&key(1), answer("whole")).await;
        assert_eq!(cache.get(&key(1), AnswerForm::Stream, NOW).await, Some(stream));
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, Some(answer("whole")));
    }

    #[tokio::test]
    async fn a_newer_answer_takes_the_place_and_the_room_of_the_former() {
        let cache = MemoryCache::new(LIMITS);
        cache.put(&key(1), answer(vec![b'x'; 9_000])).await;
        cache.put(&key(1), answer("newer")).await;
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, Some(answer("newer")));
        assert_eq!(cache.bytes(), bulk(&answer("newer")));
    }

    #[tokio::test]
    async fn an_answer_above_the_limit_of_one_is_not_kept() {
        let cache = MemoryCache::new(LIMITS);
        let beside = usize::try_from(bulk(&answer(""))).unwrap();
        cache.put(&key(1), answer(vec![0; 16 * 1024 - beside])).await;
        cache.put(&key(2), answer(vec![0; 16 * 1024 - beside + 1])).await;
        assert!(cache.get(&key(1), AnswerForm::Whole, NOW).await.is_some());
        assert!(cache.get(&key(2), AnswerForm::Whole, NOW).await.is_none());
    }

    #[tokio::test]
    async fn whatever_comes_the_bound_holds_and_is_used() {
        for limits in [
            LIMITS,
            CacheLimits { memory: 1_000_003, entry: 1_000 },
            CacheLimits { memory: 100_000, entry: 1 << 20 },
            CacheLimits { memory: 3 << 20, entry: 1 << 20 },
        ] {
            let cache = MemoryCache::new(limits);
            let mut most = 0;
            for n in 0..5_000_u32 {
                let longest = usize::try_from(limits.entry).unwrap().min(12_000);
                let len = usize::try_from(n.wrapping_mul(2_654_435_761) >> 12).unwrap() % longest;
                cache.put(&key(n), answer(vec![0; len])).await;
                let bytes = cache.bytes();
                assert!(bytes <= limits.memory, "{limits:?}: {bytes} after {n}");
                most = most.max(bytes);
            }
            assert!(most > limits.memory / 2, "{limits:?}: only {most} were used");
        }
    }

    #[tokio::test]
    async fn without_memory_nothing_is_kept() {
        let cache = MemoryCache::new(CacheLimits { memory: 0, entry: 1 << 20 });
        cache.put(&key(1), answer("")).await;
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await, None);
        assert_eq!(cache.bytes(), 0);
    }

    #[tokio::test]
    async fn what_is_asked_for_outlives_what_is_not() {
        let cache = MemoryCache::new(LIMITS);
        cache.put(&key(0), answer(vec![0; 4_000])).await;
        for n in 1..5_000 {
            assert!(cache.get(&key(0), AnswerForm::Whole, NOW).await.is_some(), "pushed out by {n}");
            cache.put(&key(n), answer(vec![0; 4_000])).await;
        }
        assert!(cache.get(&key(4_999), AnswerForm::Whole, NOW).await.is_some(), "and the newest is there");
    }

    #[tokio::test]
    async fn what_nobody_asks_for_any_more_is_swept() {
        let cache = MemoryCache::new(LIMITS);
        let late = Arc::new(CachedAnswer { expires_at: UnixMillis(3_000), ..CachedAnswer::clone(&answer("late")) });
        cache.put(&key(1), answer("early")).await;
        cache.put(&key(2), late.clone()).await;
        cache.sweep(UnixMillis(1_999));
        assert_eq!(cache.bytes(), bulk(&answer("early")) + bulk(&late));
        cache.sweep(UnixMillis(2_000));
        assert_eq!(cache.bytes(), bulk(&late));
        assert_eq!(cache.get(&key(2), AnswerForm::Whole, NOW).await, Some(late));
    }

    #[tokio::test]
    async fn a_small_body_keeps_no_large_buffer_alive() {
        let buffer = Bytes::from(vec![b'x'; 1 << 20]);
        let cache = MemoryCache::new(LIMITS);
        cache.put(&key(1), answer(buffer.slice(..10))).await;
        assert!(buffer.is_unique());
        assert_eq!(cache.get(&key(1), AnswerForm::Whole, NOW).await.unwrap().body, [b'x'; 10][..]);
    }

    #[test]
    fn what_an_answer_takes_beside_its_texts_is_counted() {
        let counts = 2 * size_of::<usize>();
        let place = size_of::<Key>() + size_of::<Arc<CachedAnswer>>() + 4 * size_of::<u32>();
        // Lists grow by doubling, tables are at least half full; a shared body counts its owners.
        let all = size_of::<CachedAnswer>() + counts + 2 * place + 16 + 4 * size_of::<usize>();
        assert!(OVERHEAD >= all as u64, "{all}");
    }

    #[test]
    fn parts_are_large_enough_for_the_largest_answers() {
        for (memory, entry, expected) in [
            (64 << 20, 1 << 20, 16),
            (64 << 20, 4 << 10, 64),
            (1 << 20, 1 << 20, 1),
            (13 << 20, 1 << 20, 2),
            (0, 0, 1),
            (u64::MAX, 1, 64),
        ] {
            assert_eq!(shards(CacheLimits { memory, entry }), expected, "{memory} {entry}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn many_at_once_see_whole_answers_within_the_bound() {
        let cache = Arc::new(MemoryCache::new(CacheLimits { memory: 200_000, entry: 10_000 }));
        let mut tasks = JoinSet::new();
        for task in 0..8_u32 {
            let cache = cache.clone();
            tasks.spawn(async move {
                let mut hits = 0;
                for n in 0..5_000_u32 {
                    let which = (n * 31 + task * 7) % 60;
                    match cache.get(&key(which), AnswerForm::Whole, NOW).await {
                        Some(kept) => {
                            hits += 1;
                            let byte = u8::try_from(which).unwrap();
                            assert!(kept.body.iter().all(|b| *b == byte) && !kept.body.is_empty());
                        }
                        None => {
                            let len = usize::try_from(1 + (n * 97) % 9_000).unwrap();
                            cache.put(&key(which), answer(vec![u8::try_from(which).unwrap(); len])).await;
                        }
                    }
                    assert!(cache.bytes() <= 200_000);
                }
                hits
            });
        }
        let hits: u32 = tasks.join_all().await.into_iter().sum();
        assert!(hits > 1_000, "{hits}");
    }
}
