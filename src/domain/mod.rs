//! The words of the business: ids, money, tokens, windows, keys, settings, events.
//! Plain values only; nothing here knows a clock, a socket, a store or a provider.

pub mod account;
pub mod address;
pub mod billing;
pub mod custom_provider;
pub mod duration;
pub mod event;
pub mod ids;
pub mod key;
pub mod model;
pub mod money;
pub mod object;
pub mod route;
pub mod secret;
pub mod setting;
pub mod time;
pub mod usage;
pub mod window;

pub use account::{Account, QuotaRule};
pub use address::Network;
pub use billing::BillingZone;
pub use custom_provider::{CustomProvider, CustomRoute};
pub use event::{Event, EventFlag};
pub use ids::{CustomProviderId, EventId, InstanceId, KeyId, RouteId, SettingId};
pub use key::{AllowedPath, BudgetMode, Key, KeyDigest, Membership, RateLimit, Role, SpendLimit};
pub use model::{GrantId, Group, GroupId, Model, ModelId};
pub use money::{Money, Rate};
pub use object::{MadeObject, ObjectChanges, StoredObject};
pub use route::{RequestFormat, RequestParam, RetryStrategy, Route, RouteCache, Routed, Step, Try};
pub use secret::Secret;
pub use setting::{CostMap, Setting};
pub use time::UnixMillis;
pub use usage::{Usage, UsageSource};
pub use window::Window;
