//! `/v1/embeddings` at upstreams with a form of their own: as many calls as the texts take, one admission, one event,
//! one list.

use super::super::answer::send;
use super::super::forward::Patience;
use super::super::headers;
use super::super::refuse::GatewayError;
use super::super::relay::{Delivered, Delivery};
use super::super::settle::{self, Outcome, ResponseLog};
use super::super::walk::{Exchanged, Serving};
use super::several::{Asker, Failed, Sum};
use super::translate::failed_body;
use crate::ledger::Booking;
use crate::providers::Ending;
use crate::wire::chat;
use crate::wire::embeddings::{self, Format};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use pingora::proxy::Session;
use std::time::Duration;
use tokio::time::Instant;

/// Numbers in all vectors of one answer: 2048 vectors of the longest kind, 32 MiB.
const MOST_NUMBERS: usize = 8 * 1024 * 1024;

/// Texts on their way to become vectors.
pub(super) struct Embeddings {
    pub(super) format: Format,
    /// One call each.
    pub(super) bodies: Vec<Bytes>,
    pub(super) texts: usize,
    /// The form of the upstream's errors.
    pub(super) errors: chat::Format,
    /// The model as the client named it.
    pub(super) model: String,
    pub(super) base64: bool,
    pub(super) user: Option<String>,
}

/// As [`Serving::exchange`]: whatever happens, the booking is closed when this returns.
pub(super) async fn exchange(
    serving: &Serving<'_>,
    asked: &Embeddings,
    session: &mut Session,
    booking: Booking,
    patience: Patience,
) -> Exchanged {
    let (g, arrival, planned) = (serving.g, serving.arrival, &serving.planned);
    let Some(head) = &serving.client else { return serving.unanswered(booking, GatewayError::Upstream) };
    let asker = Asker {
        g,
        arrival,
        provider: &planned.provider,
        endpoint: &planned.endpoint,
        call: &planned.call,
        setting: &planned.setting,
        attempts: &serving.attempts,
        head,
        patience,
    };
    let started = Instant::now();
    let Sum { outcome, reading, also, upstream_request_id, aborted } = asker.ask_all(&asked.bodies, session).await;
    let waited = started.elapsed();
    let answer = match outcome {
        Ok(bodies) => answer(asked, &bodies, reading.usage.prompt_tokens()),
        Err(failed) => Err(failed),
    };
    let answered = Answered::of(answer, asked.errors);
    let mut log = ResponseLog::new(planned.key.log_response, false, g.settings.log_body_limit);
    log.add(std::slice::from_ref(&answered.body));
    let outcome = Outcome {
        status: answered.status,
        ending: if aborted { Ending::Aborted } else { Ending::Complete },
        reading,
        also,
        upstream_request_id,
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

/// The list, when every call has answered with a vector for each of its texts.
fn answer(asked: &Embeddings, bodies: &[Bytes], prompt_tokens: u64) -> Result<Bytes, Failed> {
    let unreadable = || Failed::Gateway(GatewayError::Upstream);
    let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(asked.texts);
    let mut numbers = 0_usize;
    for body in bodies {
        let some = embeddings::read_vectors(asked.format, body).map_err(|_| unreadable())?;
        numbers = some.iter().fold(numbers, |sum, vector| sum.saturating_add(vector.len()));
        if numbers > MOST_NUMBERS {
            return Err(unreadable());
        }
        vectors.extend(some);
    }
    if vectors.len() != asked.texts {
        return Err(unreadable());
    }
    Ok(embeddings::write_answer(&asked.model, &vectors, prompt_tokens, asked.base64).into())
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
    fn of(answer: Result<Bytes, Failed>, errors: chat::Format) -> Self {
        let nothing = Self { status: 200, body: Bytes::new(), retry_after: None, refusal: None, client_gone: false };
        match answer {
            Ok(body) => Self { body, ..nothing },
            Err(Failed::ClientGone) => Self { status: settle::CLIENT_CLOSED_REQUEST, client_gone: true, ..nothing },
            Err(Failed::Gateway(error)) => Self { status: error.status(), refusal: Some(error), ..nothing },
            Err(Failed::Upstream { status, class, retry_after, body }) => {
                let (status, body) = failed_body(errors, chat::Format::OpenAiChat, status, class.as_deref(), &body);
                Self { status, body, retry_after, ..nothing }
            }
        }
    }
}
