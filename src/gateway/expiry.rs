//! Keys whose time or money is over are marked revoked in the store, off the request path.

use crate::domain::KeyId;
use crate::domain::time::Clock;
use crate::store::{KeyStore, StoreError, loader::Loader};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Keys waiting to be marked; one more is dropped and marked at its next request.
const QUEUE: usize = 1024;

/// Says that a key is over. Cheap, never blocks, and remembers what it has said.
#[derive(Clone, Debug)]
pub struct KeyExpiry {
    queue: mpsc::Sender<KeyId>,
    pending: Arc<Mutex<HashSet<KeyId>>>,
}

/// The other end, for [`expire_keys`].
#[derive(Debug)]
pub struct ExpiredKeys {
    queue: mpsc::Receiver<KeyId>,
    pending: Arc<Mutex<HashSet<KeyId>>>,
}

impl KeyExpiry {
    pub fn channel() -> (Self, ExpiredKeys) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let pending = Arc::default();
        (Self { queue: sender, pending: Arc::clone(&pending) }, ExpiredKeys { queue: receiver, pending })
    }

    pub(super) fn expire(&self, key: KeyId) {
        let mut pending = self.pending.lock();
        if pending.len() < QUEUE && pending.insert(key) && self.queue.try_send(key).is_err() {
            pending.remove(&key);
        }
    }
}

/// Marks keys until every [`KeyExpiry`] is gone.
pub async fn expire_keys(
    mut expired: ExpiredKeys,
    keys: Arc<dyn KeyStore>,
    loader: Arc<Loader>,
    clock: Arc<dyn Clock>,
) {
    while let Some(id) = expired.queue.recv().await {
        match mark(&*keys, id, &*clock).await {
            Ok(()) => {
                if let Err(error) = loader.refresh().await {
                    tracing::warn!(%error, "an expired key is marked but not yet visible");
                }
            }
            // A changed row is read anew when the key is used again.
            Err(StoreError::Conflict | StoreError::NotFound) => {}
            Err(error) => tracing::warn!(key.id = %id, %error, "an expired key could not be marked"),
        }
        expired.pending.lock().remove(&id);
    }
}

async fn mark(keys: &dyn KeyStore, id: KeyId, clock: &dyn Clock) -> Result<(), StoreError> {
    let Some(mut key) = keys.key(id).await? else { return Ok(()) };
    if key.revoked {
        return Ok(());
    }
    key.revoked = true;
    key.revoked_reason = "expired".into();
    key.updated_at = clock.now();
    keys.update_key(&key).await
}
