//! A connection that was upgraded: frames pass both ways as they come, and every bill that is told on the way is an
//! event of its own, journalled before the frame that tells it reaches the client. So a connection may last for hours
//! and be killed at any moment. When the key's money or time is over, the connection is closed.

use super::admit::{self, Wishes};
use super::forward::Answer;
use super::headers::{self, Framing, StillTrue};
use super::ids;
use super::refuse::GatewayError;
use super::relay::{Delivered, Delivery};
use super::settle::{self, Outcome, Terms};
use super::walk::{Exchanged, Serving};
use crate::domain::{BudgetMode, EventFlag, Money};
use crate::ledger::Booking;
use crate::limits::{Ask, Rules, Verdict};
use crate::providers::{Ending, Reading, SocketMeter};
use crate::wire::websocket::close_frame;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora_core::protocols::http::client::HttpSession;
use std::time::Duration;
use tokio::time::Instant;

/// The connection is closed for a reason of the gateway's own.
const POLICY_VIOLATION: u16 = 1008;

/// Why a connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Client,
    Upstream,
    /// The key may not go on.
    Refused,
}

/// Passes frames until one side ends.
pub(super) async fn relay(
    serving: &Serving<'_>,
    mut booking: Booking,
    answer: Answer,
    mut meter: Box<dyn SocketMeter>,
    client: &mut Session,
    wishes: &Wishes,
) -> Exchanged {
    let Answer { session: mut upstream, .. } = answer;
    let status = 101;
    let Some(head) = upstream.response_header() else { return serving.unanswered(booking, GatewayError::Upstream) };
    let still = StillTrue { length: false, encoding: true };
    let head = headers::response_head(head, &serving.stamp(), still, Framing::Untouched, None);
    let head = headers::upgraded(head);
    if let HttpSession::H1(h1) = &mut upstream {
        h1.maybe_upgrade_body_writer();
    }
    booking.learn(|event| event.status = status);
    let first_byte = Instant::now();
    let written = client.downstream_session.response_duplex_vec(vec![HttpTask::Header(Box::new(head), false)]).await;
    let mut end = if written.is_ok() { None } else { Some(End::Client) };
    while end.is_none() {
        end = step(serving, &mut upstream, &mut *meter, client, wishes).await;
    }
    let end = end.unwrap_or(End::Client);
    let outcome = Outcome {
        status,
        ending: Ending::Complete,
        reading: Reading::default(),
        also: Vec::new(),
        upstream_request_id: Box::default(),
        response_log: None,
    };
    let booked =
        settle::close(booking, &serving.planned, serving.price.as_ref(), outcome, &serving.g.ports, serving.arrival);
    let delivery = match end {
        End::Client | End::Upstream => Delivery::Whole,
        End::Refused => Delivery::Cut,
    };
    let delivered = Delivered { delivery, status, booked, first_byte: Some(first_byte) };
    Exchanged { delivered, refusal: None, waited: Duration::ZERO }
}

/// One piece in one direction; `Some` when the connection is over.
async fn step(
    serving: &Serving<'_>,
    upstream: &mut HttpSession,
    meter: &mut dyn SocketMeter,
    client: &mut Session,
    wishes: &Wishes,
) -> Option<End> {
    let idle = tokio::time::sleep(serving.g.settings.idle_timeout);
    tokio::select! {
        piece = upstream.read_response_body() => {
            let Ok(Some(piece)) = piece else { return Some(End::Upstream) };
            let mut may_go_on = true;
            for reading in meter.push(&piece) {
                book(serving, wishes, reading).await;
                may_go_on = may_go_on && goes_on(serving).await;
            }
            let mut tasks = vec![HttpTask::UpgradedBody(Some(piece), false)];
            if !may_go_on {
                let reason = "the budget of this key is spent";
                tasks.push(HttpTask::UpgradedBody(Some(close_frame(POLICY_VIOLATION, reason).into()), false));
            }
            match client.downstream_session.response_duplex_vec(tasks).await {
                Err(_) => Some(End::Client),
                Ok(_) if !may_go_on => Some(End::Refused),
                Ok(_) => None,
            }
        }
        piece = client.downstream_session.read_request_body() => {
            let Ok(Some(piece)) = piece else { return Some(End::Client) };
            match upstream.write_request_body(piece, false).await {
                Ok(()) => None,
                Err(_) => Some(End::Upstream),
            }
        }
        () = idle => Some(End::Upstream),
    }
}

/// One bill, one event.
async fn book(serving: &Serving<'_>, wishes: &Wishes, reading: Reading) {
    let (g, planned) = (serving.g, &serving.planned);
    let now = g.ports.clock.now();
    // A connection may outlive many changes of its key: each bill goes by the quota of its own time.
    let snapshot = g.ports.snapshot.load_full();
    let quota = g.rules_of(snapshot.key(&planned.key.digest).unwrap_or(&planned.key), now).quota;
    let terms = Terms { price: serving.price.as_ref(), unpriced: false, quota };
    let mut event = settle::opening(planned, wishes.clone(), terms, 0, serving.arrival);
    event.id = ids::event_id(now);
    event.created_at = now;
    event.upstream_request_id = Box::default();
    if let Some(model) = &reading.model {
        event.model = model.clone();
    }
    let outcome = Outcome {
        status: 200,
        ending: Ending::Complete,
        reading,
        also: Vec::new(),
        upstream_request_id: Box::default(),
        response_log: None,
    };
    let booking = Booking::unopened(event, g.sink.clone());
    let booked = settle::close(booking, planned, serving.price.as_ref(), outcome, &g.ports, serving.arrival);
    let endpoint = g.ports.metrics.endpoint(planned.provider.label(), planned.endpoint.template);
    endpoint.consumed(&booked.usage, booked.cost, booked.flags.contains(&EventFlag::Unpriced));
    settle::confirm(g, &booked).await;
}

/// Whether the key may go on: not revoked, not expired, and its budgets are not spent.
async fn goes_on(serving: &Serving<'_>) -> bool {
    let (g, key) = (serving.g, &serving.planned.key);
    let snapshot = g.ports.snapshot.load_full();
    let Some(current) = snapshot.key(&key.digest) else { return false };
    if admit::key_is_usable(g, current, serving.arrival).is_err() {
        return false;
    }
    let now = g.ports.clock.now();
    let rules = Rules { rate: None, mode: BudgetMode::Observe, ..g.rules_of(current, now) };
    if rules.is_empty() {
        return true;
    }
    let ask = Ask { key: key.id, rules, event: ids::event_id(now), now, hold: Money::ZERO, hold_expires: now };
    match g.ports.counters.admit(&ask).await {
        Ok(Verdict::Admitted { .. }) => {
            g.ports.counters.release(&ask);
            true
        }
        Ok(Verdict::Refused(_)) => false,
        // What cannot be asked does not end a conversation.
        Err(_) => true,
    }
}
