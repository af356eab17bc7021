//! What operators see of a running gateway: metrics to scrape and log lines to read.
//!
//! Labels come from enums and from names fixed in code, so their number is bounded; that of routes, which operators
//! name, has a bound of its own. Nothing here takes a secret,
//! a prompt or a body, and nothing here ever makes a request wait.

pub mod endpoint;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod request_line;
pub mod request_log;
pub mod routes;

pub use endpoint::{EndpointMetrics, Finished};
pub use labels::{AbortedBy, CacheResult, ConnectionState, RefusalReason};
pub use log::{LogFormat, LogGuard, LogLevel};
pub use metrics::{InFlight, Metrics};
pub use request_line::RequestLine;
pub use request_log::RequestLog;
pub use routes::RouteMetrics;
