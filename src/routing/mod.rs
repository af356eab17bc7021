//! What is tried next when a try has failed, in which order the steps of a route are tried, which of them are set aside,
//! and under which key an answer is kept. Pure: moments and chance are told.
//!
//! | Question | File |
//! |---|---|
//! | again, onward or stop | `next` |
//! | how long to wait before | `pause` |
//! | which step first | `order` |
//! | who is not asked for a while | `health` |
//! | what is kept, and by whom | `cache` |
//! | which requests have the same answer | `key` |

mod cache;
mod health;
mod key;
mod next;
mod order;
mod pause;

pub use cache::{AnswerForm, CacheKey, CachedAnswer, ResponseCache};
pub use health::{Health, HealthRules, Standing, Target};
pub use key::{KeyParts, cache_key};
pub use next::{Course, Failure, Position, next};
pub use order::order;
pub use pause::Pauses;
