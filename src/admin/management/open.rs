//! What anybody may ask for: whether somebody is there, which load balancers ask, and the picture that browsers ask for.

use super::super::AdminState;
use axum::routing::get;

pub(super) fn routes() -> axum::Router<AdminState> {
    axum::Router::new().route("/", get(|| async { "ok" })).route("/favicon.ico", get(|| async {}))
}
