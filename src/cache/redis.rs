//! Answers in Redis, for all gateways together. Whatever is not there, not whole, not ours or not to be had now is a miss.

use super::entry;
use crate::domain::UnixMillis;
use crate::redis::{Link, LinkError};
use crate::routing::{AnswerForm, CacheKey, CachedAnswer, ResponseCache};
use async_trait::async_trait;
use redis::{Cmd, Value};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Of all answers on their way to Redis together; beyond it new ones are not kept.
const MOST_UNDERWAY: usize = 32 << 20;
/// What the bound above is counted in.
const UNIT: usize = 1 << 10;

/// Expired ones go by themselves; how much memory they take is up to the server.
#[derive(Debug)]
pub struct RedisCache {
    link: Link,
    entry: usize,
    room: Arc<Semaphore>,
}

impl RedisCache {
    /// `entry`: bytes of the largest answer that is kept, all that belongs to it included. The link should carry nothing
    /// else: large answers take their time, and nobody who is counted should wait behind one.
    pub fn new(link: Link, entry: usize) -> Self {
        Self { link, entry, room: Arc::new(Semaphore::new(MOST_UNDERWAY / UNIT)) }
    }

    /// Digests spread evenly over a cluster.
    fn name(&self, key: &CacheKey, form: AnswerForm) -> String {
        let form = match form {
            AnswerForm::Whole => 'w',
            AnswerForm::Stream => 's',
        };
        format!("{}:answer:{}:{form}", self.link.prefix(), hex::encode(key.as_bytes()))
    }

    fn asking(&self, key: &CacheKey, form: AnswerForm) -> Cmd {
        let mut command = redis::cmd("GETRANGE");
        // One byte too many shows that a value is too long without fetching it.
        command.arg(self.name(key, form)).arg(0).arg(self.entry);
        command
    }

    fn read(&self, key: &CacheKey, form: AnswerForm, found: Value, now: UnixMillis) -> Option<CachedAnswer> {
        let Value::BulkString(found) = found else { return None };
        let whole = (found.len() <= self.entry).then_some(found)?;
        entry::read(key, form, &whole.into()).filter(|answer| now < answer.expires_at)
    }
}

#[async_trait]
impl ResponseCache for RedisCache {
    async fn get(&self, key: &CacheKey, form: AnswerForm, now: UnixMillis) -> Option<Arc<CachedAnswer>> {
        let forms = [form, form.other()];
        // Whoever misses one form asks for the other: both at once, so that nobody waits twice. They are seldom both kept.
        let found = match self.link.commands(&forms.map(|form| self.asking(key, form))).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, "no kept answer");
                return None;
            }
        };
        forms.into_iter().zip(found).find_map(|(form, found)| self.read(key, form, found, now)).map(Arc::new)
    }

    /// Returns before it is kept: the answer does not wait for that.
    async fn put(&self, key: &CacheKey, answer: Arc<CachedAnswer>) {
        let ttl = answer.expires_at.0.saturating_sub(answer.stored_at.0);
        if ttl <= 0 || answer.body.len() > self.entry {
            return;
        }
        let Some(value) = entry::write(key, &answer).filter(|value| value.len() <= self.entry) else { return };
        let units = u32::try_from(value.len().div_ceil(UNIT)).unwrap_or(u32::MAX);
        let Ok(room) = self.room.clone().try_acquire_many_owned(units) else { return };
        let mut command = redis::cmd("SET");
        command.arg(self.name(key, answer.form)).arg(value).arg("PX").arg(ttl);
        let link = self.link.clone();
        tokio::spawn(async move {
            let _room = room;
            match link.command(&command).await {
                Ok(_) => {}
                Err(error @ LinkError::Refused { .. }) => tracing::warn!(%error, "an answer is not kept"),
                Err(error) => tracing::debug!(%error, "an answer is not kept"),
            }
        });
    }
}

#[cfg(test)]
mod tests;
