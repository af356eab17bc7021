//! What operators see of a running gateway: metrics to scrape and log lines to read.
//!
//! Labels come from enums and from names fixed in code, so their number is bounded. Nothing here takes a secret,
//! a prompt or a body, and nothing here ever makes a request wait.

pub mod endpoint;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod request_line;
pub mod request_log;

pub use endpoint::{EndpointMetrics, Finished};
pub use labels::{AbortedBy, ConnectionState, RefusalReason};
pub use log::{LogFormat, LogGuard, LogLevel};
pub use metrics::{InFlight, Metrics};
pub use request_line::RequestLine;
pub use request_log::RequestLog;
