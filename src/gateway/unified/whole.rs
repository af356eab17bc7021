//! The end of an admitted request whose answer is made here, out of whole answers of an upstream: booked, then sent.

use super::super::answer::send;
use super::super::headers;
use super::super::refuse::GatewayError;
use super::super::relay::{Delivered, Delivery};
use super::super::settle::{self, Outcome, ResponseLog};
use super::super::walk::{Exchanged, Serving};
use super::several::{Bill, Failed};
use super::surface::Surface;
use super::translate::failed_body;
use crate::ledger::Booking;
use crate::providers::Ending;
use crate::wire::chat;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::proxy::Session;
use std::time::Duration;
use tokio::time::Instant;

/// What was made, and what it has consumed.
pub(super) struct Made {
    pub(super) outcome: Result<Bytes, Failed>,
    /// The form of the upstream's errors, and that of the client's.
    pub(super) errors: chat::Format,
    pub(super) client: chat::Format,
    pub(super) bill: Bill,
    /// Spent waiting for the upstream.
    pub(super) waited: Duration,
}

/// What was to come before the answer has failed: nothing is billed.
pub(super) async fn failed(
    serving: &Serving<'_>,
    failure: Failed,
    surface: &Surface,
    session: &mut Session,
    booking: Booking,
) -> Exchanged {
    let client = if let Surface::Talk(client) = surface { *client } else { chat::Format::OpenAiChat };
    let errors = chat::Format::Knowledge;
    let made = Made { outcome: Err(failure), errors, client, bill: Bill::default(), waited: Duration::ZERO };
    deliver(serving, made, session, booking).await
}

/// As [`Serving::exchange`]: whatever happens, the booking is closed when this returns.
pub(super) async fn deliver(serving: &Serving<'_>, made: Made, session: &mut Session, booking: Booking) -> Exchanged {
    let (g, arrival, planned) = (serving.g, serving.arrival, &serving.planned);
    let Made { outcome, errors, client, bill, waited } = made;
    let answered = Answered::of(outcome, errors, client);
    let mut log = ResponseLog::new(planned.key.log_response, false, g.settings.log_body_limit);
    log.add(std::slice::from_ref(&answered.body));
    let outcome = Outcome {
        status: answered.status,
        ending: if bill.aborted { Ending::Aborted } else { Ending::Complete },
        reading: bill.reading,
        also: bill.also,
        upstream_request_id: bill.upstream_request_id,
        response_log: log.take(),
    };
    let booked = settle::close(booking, planned, serving.price.as_ref(), outcome, &g.ports, arrival);
    settle::confirm(g, &booked).await;
    let first_byte = Some(Instant::now());
    let delivered = |delivery, first_byte, booked| Delivered { delivery, status: answered.status, booked, first_byte };
    let exchanged = |delivered, refusal, waited| Exchanged { delivered, refusal, waited };
    if let Some(error) = answered.refusal {
        return exchanged(delivered(Delivery::Whole, None, booked), Some(error), Duration::ZERO);
    }
    if answered.client_gone {
        return exchanged(delivered(Delivery::ClientGone, None, booked), None, Duration::ZERO);
    }
    let mut head = HeaderMap::with_capacity(10);
    head.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = answered.retry_after {
        head.insert(RETRY_AFTER, after);
    }
    let stamp = headers::Stamp { cost: Some(booked.cost.to_string()), ..serving.stamp() };
    stamp.apply(&mut head);
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let sent = send(session, headers::response(status, head), answered.body).await;
    let delivery = if sent.is_ok() { Delivery::Whole } else { Delivery::ClientGone };
    exchanged(delivered(delivery, first_byte, booked), None, waited)
}

/// What the client is to see.
struct Answered {
    status: u16,
    body: Bytes,
    retry_after: Option<HeaderValue>,
    refusal: Option<GatewayError>,
    client_gone: bool,
}

impl Answered {
    fn of(answer: Result<Bytes, Failed>, errors: chat::Format, client: chat::Format) -> Self {
        let nothing = Self { status: 200, body: Bytes::new(), retry_after: None, refusal: None, client_gone: false };
        match answer {
            Ok(body) => Self { body, ..nothing },
            Err(Failed::ClientGone) => Self { status: settle::CLIENT_CLOSED_REQUEST, client_gone: true, ..nothing },
            Err(Failed::Gateway(error)) => Self { status: error.status(), refusal: Some(error), ..nothing },
            Err(Failed::Upstream { status, class, retry_after, body }) => {
                let (status, body) = failed_body(errors, client, status, class.as_deref(), &body);
                Self { status, body, retry_after, ..nothing }
            }
        }
    }
}
