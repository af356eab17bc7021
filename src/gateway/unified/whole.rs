//! The end of an admitted request whose answer is made here, out of whole answers of an upstream: booked, then sent.

use super::super::answer::send;
use super::super::headers;
use super::super::refuse::GatewayError;
use super::super::relay::{Delivered, Delivery};
use super::super::retry_after::retry_after as asked_for;
use super::super::settle::{self, Outcome, ResponseLog};
use super::super::tries::Last;
use super::super::walk::{Exchanged, Serving};
use super::compose::Face;
use super::several::{Bill, Failed};
use super::surface::Surface;
use super::translate::failed_body;
use crate::domain::UnixMillis;
use crate::ledger::Booking;
use crate::providers::Ending;
use crate::routing::Failure;
use crate::wire::chat;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::time::Duration;
use tokio::time::Instant;

/// What was made, and what it has consumed.
pub(in crate::gateway) struct Made {
    pub(super) outcome: Result<Bytes, Failed>,
    /// The form of the upstream's errors, and that of the client's.
    pub(super) errors: chat::Format,
    pub(super) client: (chat::Format, Face),
    pub(super) bill: Bill,
    /// Spent waiting for the upstream.
    pub(super) waited: Duration,
}

impl Made {
    /// Why there is no answer, and how long the upstream wants to be left alone.
    pub(in crate::gateway) fn failure(&self, now: UnixMillis) -> Option<(Failure, Option<Duration>)> {
        let Err(failed) = &self.outcome else { return None };
        Some(match failed {
            Failed::ClientGone => (Failure::ClientGone, None),
            Failed::Upstream { status, retry_after, .. } => {
                let said = retry_after.iter().map(|after| (RETRY_AFTER, after.clone()));
                (Failure::Status(*status), asked_for(&HeaderMap::from_iter(said), now))
            }
            Failed::Gateway(GatewayError::Connect) => (Failure::Connect, None),
            Failed::Gateway(GatewayError::Timeout) => (Failure::Timeout, None),
            Failed::Gateway(GatewayError::UpstreamAuth) => (Failure::Status(403), None),
            Failed::Gateway(GatewayError::Upstream) => (Failure::Broken, None),
            Failed::Gateway(_) => (Failure::Unfit, None),
        })
    }

    /// The refusal in it, as it is kept while something else is tried.
    pub(in crate::gateway) fn into_last(self, serving: &Serving<'_>) -> Option<Last> {
        let upstream_request_id = self.bill.upstream_request_id.clone();
        match self.outcome {
            Err(Failed::Gateway(GatewayError::UpstreamAuth)) => Some(Last::Refused(GatewayError::UpstreamAuth)),
            refused @ Err(Failed::Upstream { .. }) => {
                let answered = Answered::of(refused, self.errors, self.client);
                let head = answered.head(&serving.stamp());
                let provider = serving.planned.provider.name().into();
                let model = serving.planned.call.model.clone();
                Some(Last::Answer { head: Box::new(head), body: answered.body, upstream_request_id, provider, model })
            }
            _ => None,
        }
    }

    /// As [`deliver`].
    pub(in crate::gateway) async fn deliver(
        self,
        serving: &mut Serving<'_>,
        session: &mut Session,
        booking: Booking,
    ) -> Exchanged {
        deliver(serving, self, session, booking).await
    }
}

/// What was to come before the answer has failed: nothing is billed.
pub(super) async fn failed(
    serving: &mut Serving<'_>,
    failure: Failed,
    surface: &Surface,
    session: &mut Session,
    booking: Booking,
) -> Exchanged {
    let client = if let Surface::Talk(client) = surface { *client } else { chat::Format::OpenAiChat };
    let errors = chat::Format::Knowledge;
    let client = (client, Face::Unified);
    let made = Made { outcome: Err(failure), errors, client, bill: Bill::default(), waited: Duration::ZERO };
    deliver(serving, made, session, booking).await
}

/// As [`Serving::exchange`]: whatever happens, the booking is closed when this returns.
async fn deliver(serving: &mut Serving<'_>, made: Made, session: &mut Session, booking: Booking) -> Exchanged {
    let Made { outcome, errors, client, bill, waited } = made;
    let answered = Answered::of(outcome, errors, client);
    if let Some(recorder) = serving.recorder.as_mut().filter(|_| answered.status == 200) {
        recorder.add(std::slice::from_ref(&answered.body));
        recorder.is_whole();
    }
    let (g, arrival, planned) = (serving.g, serving.arrival, &serving.planned);
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
    let head = answered.head(&headers::Stamp { cost: Some(booked.cost.to_string()), ..serving.stamp() });
    let sent = send(session, head, answered.body).await;
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
    fn head(&self, stamp: &headers::Stamp) -> ResponseHeader {
        let mut head = HeaderMap::with_capacity(10);
        head.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = &self.retry_after {
            head.insert(RETRY_AFTER, after.clone());
        }
        stamp.apply(&mut head);
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_GATEWAY);
        headers::response(status, head)
    }

    fn of(answer: Result<Bytes, Failed>, errors: chat::Format, client: (chat::Format, Face)) -> Self {
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
