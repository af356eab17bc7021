//! What becomes of a try that has failed: another one, or the error that the client sees.

use super::answer::send;
use super::decode::Decoder;
use super::forward::{Answer, Patience};
use super::headers::{self, Framing, StillTrue};
use super::ready::Halt;
use super::refuse::GatewayError;
use super::relay::{Delivered, Delivery, Relayed};
use super::route::Place;
use super::settle::{self, Outcome, ResponseLog};
use super::unified::{Heard, Made};
use super::walk::{Exchanged, Serving};
use crate::domain::EventFlag;
use crate::ledger::Booking;
use crate::providers::{Ending, Reading};
use crate::routing::{Course, Failure};
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::time::Duration;
use tokio::time::Instant;

/// Of an error's body that may be shown in the end.
const ERROR_WHOLE: usize = 256 * 1024;
/// How long is waited for such a body when there is something better to do.
const ERROR_PATIENCE: Duration = Duration::from_millis(250);

/// A try without an answer that the client should see.
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) retry_after: Option<Duration>,
    pub(super) left: Left,
}

/// What a failed try leaves behind.
pub(super) enum Left {
    /// The upstream's refusal, its body unread.
    Answer(Box<Answer>),
    Halt(Halt),
    /// A stream or a body that broke: what it has consumed.
    Broken(Box<Reading>),
    /// Whole answers of several calls.
    Made(Box<Made>),
    ClientGone,
}

/// The last refusal of an upstream that was put aside for another try: what the client sees when none is better.
pub(super) enum Last {
    Answer {
        head: Box<ResponseHeader>,
        body: Bytes,
        upstream_request_id: Box<str>,
        provider: Box<str>,
        model: Box<str>,
    },
    /// Our own credential was refused.
    Refused(GatewayError),
}

impl Failed {
    pub(super) fn of_answer(answer: Answer, retry_after: Option<Duration>) -> Self {
        Self { failure: Failure::Status(answer.status()), retry_after, left: Left::Answer(Box::new(answer)) }
    }

    pub(super) fn of_halt(halt: Halt) -> Self {
        let failure = match &halt {
            Halt::Fault(fault) => fault.failure(),
            Halt::Refused(_) => Failure::Unfit,
        };
        Self { failure, retry_after: None, left: Left::Halt(halt) }
    }
}

impl Serving<'_> {
    /// Decides after a failed try. `None`: everything is set for another one. Else that failure is the end.
    pub(super) async fn move_on(
        &mut self,
        session: &mut Session,
        booking: &mut Booking,
        failed: Failed,
        tried_at: Instant,
        deadline: Instant,
    ) -> Option<Failed> {
        let left = deadline.saturating_duration_since(Instant::now());
        let heard = Heard { failure: failed.failure, retry_after: failed.retry_after, left };
        let course = self.attempts.course(self.arrival.event_id, heard);
        if let Some(run) = &self.run {
            run.tried(self, failed.failure.label(), tried_at.elapsed());
        }
        match course {
            Course::Stop => {
                self.step_failed(&failed);
                Some(failed)
            }
            Course::Again(pause) => {
                self.put_aside(failed, tried_at, self.place()).await;
                self.tell(booking);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = session.downstream_session.read_body_or_idle(true) => {
                        return Some(Failed { failure: Failure::ClientGone, retry_after: None, left: Left::ClientGone });
                    }
                }
                if let Some(setting) = self.attempts.setting() {
                    self.planned.setting = setting.clone();
                }
                None
            }
            Course::Onward { elsewhere } => {
                self.step_failed(&failed);
                let Some(mut run) = self.run.take() else { return Some(failed) };
                let place = Some(run.place());
                let leg = Box::pin(run.onward(self, session.req_header(), elsewhere)).await;
                self.run = Some(run);
                let Some(leg) = leg else {
                    // Steps that could not even be asked are in the event too.
                    self.tell(booking);
                    return Some(failed);
                };
                self.put_aside(failed, tried_at, place).await;
                self.take(leg);
                self.tell(booking);
                None
            }
        }
    }

    /// Nothing else is tried for this request; what broke off tells of the upstream's health all the same.
    pub(super) fn delivered(&self, delivered: &Delivered, tried_at: Instant) {
        let cut = delivered.delivery != Delivery::ClientGone && delivered.booked.flags.contains(&EventFlag::Aborted);
        match &self.run {
            Some(run) if cut => {
                run.tried(self, Failure::Broken.label(), tried_at.elapsed());
                run.step_failed(self.g, Failure::Broken, None);
            }
            _ => self.answered(tried_at),
        }
    }

    pub(super) fn answered(&self, tried_at: Instant) {
        if let Some(run) = &self.run {
            run.answered(self, tried_at.elapsed());
        }
    }

    fn step_failed(&self, failed: &Failed) {
        if let Some(run) = &self.run {
            run.step_failed(self.g, failed.failure, failed.retry_after);
        }
    }

    /// Writes a failed try down and keeps the refusal that it met, if any.
    async fn put_aside(&mut self, failed: Failed, tried_at: Instant, place: Option<Place>) {
        let failure = failed.failure;
        tracing::info!(
            failure = failure.label(),
            provider = self.planned.provider.name(),
            model = &*self.planned.call.model,
            "another try"
        );
        self.note_try(failure, tried_at, place);
        if let Some(recorder) = &mut self.recorder {
            recorder.clear();
        }
        match failed.left {
            Left::Answer(answer) => {
                if let Some(last) = self.keep(*answer).await {
                    self.last = Some(last);
                }
            }
            Left::Made(made) => self.last = made.into_last(self).or(self.last.take()),
            Left::Halt(_) | Left::Broken(_) | Left::ClientGone => {}
        }
    }

    fn place(&self) -> Option<Place> {
        self.run.as_ref().map(|run| run.place())
    }

    fn note_try(&mut self, failure: Failure, tried_at: Instant, place: Option<Place>) {
        let (Self { run: Some(run), planned, .. }, Some(place)) = (self, place) else { return };
        let status = if let Failure::Status(status) = failure { status } else { 0 };
        run.note(place, planned, status, failure.label(), tried_at.elapsed());
    }

    /// Puts who is asked now into the event.
    pub(super) fn tell(&self, booking: &mut Booking) {
        let planned = &self.planned;
        let route = self.run.as_ref().map(|run| Box::new(run.routed()));
        booking.learn(|event| {
            event.provider = planned.provider.name().into();
            event.model = planned.call.model.clone();
            event.setting_id = planned.setting_id();
            event.route = route;
        });
    }

    /// Reads a refusal to its end, so that its connection can be used again, and makes it what the client would get.
    /// `None` when its body does not come: then there is nothing to show.
    async fn keep(&self, answer: Answer) -> Option<Last> {
        let status = answer.status();
        let Answer { session: mut upstream, peer } = answer;
        let planned = &self.planned;
        let from = upstream.response_header()?.clone();
        let mut meter = planned.provider.meter(&planned.endpoint, &planned.call, status, &from.headers, &self.request);
        if let Some(around) = &self.around {
            meter = around.wrap(meter, status, &from.headers);
        }
        let mut decoder = Decoder::of(from.headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes));
        let (mut out, mut bytes) = (Vec::new(), 0);
        let reading = async {
            while let Some(piece) = upstream.read_response_body().await.ok()? {
                bytes += piece.len();
                if let Some(plain) = decoder.decode(piece) {
                    meter.push(plain, &mut out);
                }
                if bytes > ERROR_WHOLE {
                    return None;
                }
                if upstream.response_done() {
                    break;
                }
            }
            Some(())
        };
        let whole = tokio::time::timeout(ERROR_PATIENCE, reading).await.ok().flatten().is_some();
        if matches!(status, 401 | 403) {
            tracing::warn!(setting.id = %planned.setting.id, status, "the provider refused a credential");
        }
        if !whole {
            let _closed = tokio::time::timeout(ERROR_PATIENCE, upstream.shutdown()).await.is_ok();
            return matches!(status, 401 | 403).then_some(Last::Refused(GatewayError::UpstreamAuth));
        }
        self.g.connector.release_http_session(upstream, &*peer, Some(self.g.settings.upstream_keepalive)).await;
        if matches!(status, 401 | 403) {
            return Some(Last::Refused(GatewayError::UpstreamAuth));
        }
        if let Some(rest) = decoder.finish() {
            meter.push(rest, &mut out);
        }
        meter.end(&mut out);
        let body = Bytes::from(out.concat());
        let still = StillTrue { length: false, encoding: decoder.is_identity() };
        let head = headers::response_head(&from, &self.stamp(), still, Framing::Length(body.len()), Some(&*meter));
        let id = headers::upstream_request_id(&from.headers).and_then(|id| id.to_str().ok()).unwrap_or_default();
        Some(Last::Answer {
            head: Box::new(head),
            body,
            upstream_request_id: id.into(),
            provider: planned.provider.name().into(),
            model: planned.call.model.clone(),
        })
    }

    /// The end of a request without an answer that anybody would want. The upstream's own refusal is what the client
    /// sees: this one, or the last there was.
    pub(super) async fn give_up(
        &mut self,
        session: &mut Session,
        booking: Booking,
        failed: Failed,
        tried_at: Instant,
        patience: Patience,
    ) -> Exchanged {
        let Failed { failure, left, .. } = failed;
        match left {
            Left::Answer(answer) if matches!(answer.status(), 401 | 403) => {
                let (setting, status) = (self.planned.setting.id, answer.status());
                tracing::warn!(setting.id = %setting, status, "the provider refused a credential");
                self.unanswered(booking, GatewayError::UpstreamAuth)
            }
            Left::Answer(answer) => match self.relay(session, booking, *answer, patience, false).await {
                Relayed::Delivered(delivered) => Exchanged { delivered, refusal: None, waited: Duration::ZERO },
                Relayed::Withdrawn(withdrawn) => self.unanswered(withdrawn.booking, GatewayError::Upstream),
            },
            Left::ClientGone => {
                let booked =
                    self.book_fault(booking, settle::CLIENT_CLOSED_REQUEST, Ending::Aborted, Reading::default());
                let (delivery, status) = (Delivery::ClientGone, settle::CLIENT_CLOSED_REQUEST);
                let delivered = Delivered { delivery, status, booked, first_byte: None };
                Exchanged { delivered, refusal: None, waited: Duration::ZERO }
            }
            Left::Made(made) if matches!(failure, Failure::Status(_) | Failure::ClientGone) || self.last.is_none() => {
                Box::pin(made.deliver(self, session, booking)).await
            }
            _ if failure != Failure::ClientGone && self.last.is_some() => {
                self.note_try(failure, tried_at, self.place());
                match self.last.take() {
                    Some(last) => self.show_last(session, booking, last).await,
                    None => self.unanswered(booking, GatewayError::Upstream),
                }
            }
            Left::Halt(Halt::Refused(error)) => self.unanswered(booking, error),
            Left::Halt(Halt::Fault(fault)) => self.faulted(booking, fault),
            Left::Broken(reading) => {
                let error = if failure == Failure::Timeout { GatewayError::Timeout } else { GatewayError::Upstream };
                let booked = self.book_fault(booking, error.status(), Ending::Aborted, *reading);
                let delivered =
                    Delivered { delivery: Delivery::Whole, status: error.status(), booked, first_byte: None };
                Exchanged { delivered, refusal: Some(error), waited: Duration::ZERO }
            }
            Left::Made(made) => Box::pin(made.deliver(self, session, booking)).await,
        }
    }

    /// Books and sends a refusal that was kept.
    async fn show_last(&self, session: &mut Session, mut booking: Booking, last: Last) -> Exchanged {
        let route = self.run.as_ref().map(|run| Box::new(run.routed()));
        let (head, body, upstream_request_id) = match last {
            Last::Refused(error) => {
                booking.learn(|event| event.route = route);
                return self.unanswered(booking, error);
            }
            Last::Answer { head, body, upstream_request_id, provider, model } => {
                booking.learn(|event| {
                    event.provider = provider;
                    event.model = model;
                    event.route = route;
                });
                (head, body, upstream_request_id)
            }
        };
        let status = head.status.as_u16();
        let mut log = ResponseLog::new(self.planned.key.log_response, false, self.g.settings.log_body_limit);
        log.add(std::slice::from_ref(&body));
        let outcome = Outcome {
            status,
            ending: Ending::Complete,
            reading: Reading::default(),
            also: Vec::new(),
            upstream_request_id,
            response_log: log.take(),
        };
        let booked = settle::close(booking, &self.planned, self.price.as_ref(), outcome, &self.g.ports, self.arrival);
        settle::confirm(self.g, &booked).await;
        let first_byte = Some(Instant::now());
        let sent = send(session, *head, body).await;
        let delivery = if sent.is_ok() { Delivery::Whole } else { Delivery::ClientGone };
        let delivered = Delivered { delivery, status, booked, first_byte };
        Exchanged { delivered, refusal: None, waited: Duration::ZERO }
    }
}
