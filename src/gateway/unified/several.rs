//! Asks an upstream for a whole answer, once or several times, on behalf of one admitted request: the same preparation,
//! attempts and meter as for an answer that is relayed, and a bill that is the sum of all calls.

use super::super::Gateway;
use super::super::arrival::Arrival;
use super::super::decode::Decoder;
use super::super::forward::{self, Answer, Fault, Patience};
use super::super::headers;
use super::super::ready::{self, Asked, Halt, Ready};
use super::super::refuse::GatewayError;
use super::attempts::{Attempts, Heard};
use super::translate::{ERROR_WHOLE, EXCEPTION, WHOLE};
use crate::domain::{Setting, Usage, UsageSource};
use crate::providers::{Call, Ending, Endpoint, Handle, Reading, ResponseMeter};
use crate::routing::{Course, Failure};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use tokio::time::Instant;

/// Calls of one request that are under way at a time.
const AT_A_TIME: usize = 4;

/// Who is asked, the same for all calls.
pub(super) struct Asker<'a> {
    pub(super) g: &'a Gateway,
    pub(super) arrival: &'a Arrival,
    pub(super) provider: &'a Handle,
    pub(super) endpoint: &'a Endpoint,
    pub(super) call: &'a Call,
    /// Of the first attempt of each call.
    pub(super) setting: &'a Arc<Setting>,
    pub(super) attempts: &'a Attempts,
    pub(super) head: &'a RequestHeader,
    pub(super) patience: Patience,
}

/// What came of one call.
pub(super) struct Told {
    /// What it consumed, also when it failed.
    pub(super) reading: Reading,
    pub(super) also: Vec<(Box<str>, Usage)>,
    pub(super) upstream_request_id: Box<str>,
    pub(super) outcome: Result<Bytes, Failed>,
}

/// Why a call has no answer that could be used.
pub(super) enum Failed {
    Gateway(GatewayError),
    /// The upstream's own refusal; never for a credential.
    Upstream {
        status: u16,
        class: Option<Box<str>>,
        retry_after: Option<http::HeaderValue>,
        body: Bytes,
    },
    ClientGone,
}

impl Told {
    fn failed(failed: Failed, reading: Reading) -> Self {
        Self { reading, also: Vec::new(), upstream_request_id: Box::default(), outcome: Err(failed) }
    }
}

/// What came of all calls: answers in the order of their bodies, or the first failure; and what they consumed together.
pub(super) struct Sum {
    pub(super) outcome: Result<Vec<Bytes>, Failed>,
    pub(super) bill: Bill,
}

/// Until the client leaves.
type Gone = watch::Receiver<bool>;

impl Asker<'_> {
    /// Asks with each body, some at a time. After a failure no call begins; those under way are heard to their end, since
    /// they are billed to their end, unless the client is gone.
    pub(super) async fn ask_all(&self, bodies: &[Bytes], session: &mut Session) -> Sum {
        let (leave, gone) = watch::channel(false);
        let mut running = FuturesUnordered::new();
        let mut waiting = bodies.iter().enumerate();
        let mut answers: Vec<Bytes> = vec![Bytes::new(); bodies.len()];
        let mut failure: Option<Failed> = None;
        let mut bill = Bill::default();
        loop {
            while failure.is_none() && running.len() < AT_A_TIME {
                let Some((at, body)) = waiting.next() else { break };
                let gone = gone.clone();
                running.push(Box::pin(async move { (at, self.ask(body, gone).await) }));
            }
            let client_left = *gone.borrow();
            let next = tokio::select! {
                biased;
                next = running.next() => next,
                _ = session.downstream_session.read_body_or_idle(true), if !client_left => {
                    leave.send_replace(true);
                    failure.get_or_insert(Failed::ClientGone);
                    continue;
                }
            };
            let Some((at, told)) = next else { break };
            let outcome = bill.add(told);
            match (outcome, answers.get_mut(at)) {
                (Ok(body), Some(place)) => *place = body,
                (Ok(_), None) => {}
                (Err(failed), _) => drop(failure.get_or_insert(failed)),
            }
        }
        let outcome = match failure {
            Some(failed) => Err(failed),
            None => Ok(answers),
        };
        bill.sum(outcome)
    }

    async fn ask(&self, body: &Bytes, mut gone: Gone) -> Told {
        let mut attempts = self.attempts.clone();
        let mut setting = Arc::clone(self.setting);
        let answer = loop {
            let answer = self.attempt(&setting, body, &mut gone).await;
            let left = self.patience.deadline.saturating_duration_since(Instant::now());
            let (failure, retry_after) = match &answer {
                Ok(good) if good.status() < 400 => break answer,
                Ok(bad) => (Failure::Status(bad.status()), bad.retry_after(self.g.ports.clock.now())),
                Err(Halt::Fault(fault)) => (fault.failure(), None),
                Err(Halt::Refused(_)) => break answer,
            };
            let course = attempts.course(self.arrival.event_id, Heard { failure, retry_after, left });
            let Course::Again(pause) = course else { break answer };
            tracing::info!(?failure, provider = self.provider.name(), "another try");
            drop(answer);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = gone.wait_for(|gone| *gone) => return Told::failed(Failed::ClientGone, Reading::default()),
            }
            if let Some(next) = attempts.setting() {
                setting = Arc::clone(next);
            }
        };
        match answer {
            Ok(answer) => self.take(answer, body, &setting, &mut gone).await,
            Err(Halt::Refused(error)) => Told::failed(Failed::Gateway(error), Reading::default()),
            Err(Halt::Fault(fault)) => {
                let consumed = fault.may_have_consumed();
                let reading = if consumed { self.counted(body) } else { Reading::default() };
                let failed = GatewayError::of_fault(fault).map_or(Failed::ClientGone, Failed::Gateway);
                Told::failed(failed, reading)
            }
        }
    }

    /// What a call has probably consumed that nobody will tell of.
    fn counted(&self, body: &Bytes) -> Reading {
        let mut meter = self.provider.meter(self.endpoint, self.call, 200, &HeaderMap::new(), body);
        Reading { truncated: false, ..meter.reading(Ending::Aborted) }
    }

    async fn attempt(&self, setting: &Setting, body: &Bytes, gone: &mut Gone) -> Result<Answer, Halt> {
        let Self { provider, endpoint, call, .. } = *self;
        let asked = Asked { provider, endpoint, call, setting, unified: true };
        let length = |body: &Bytes| Some(body.len() as u64);
        let Ready { upstream, head, body } = ready::ready(self.g, asked, self.head, body, length).await?;
        let sent = AtomicBool::new(false);
        let count = |state| self.g.ports.metrics.connected(state);
        let mut exchange = std::pin::pin!(forward::whole(&self.g.connector, &upstream, head, body, &sent, &count));
        let fault = tokio::select! {
            biased;
            answer = exchange.as_mut() => return answer.map_err(Halt::Fault),
            _ = gone.wait_for(|gone| *gone) => Fault::ClientGone { sent: sent.load(Ordering::Relaxed) },
            () = tokio::time::sleep_until(self.patience.next()) => Fault::Timeout { sent: sent.load(Ordering::Relaxed) },
        };
        Err(Halt::Fault(fault))
    }

    /// Reads an answer to its end.
    async fn take(&self, answer: Answer, request: &Bytes, setting: &Setting, gone: &mut Gone) -> Told {
        let status = answer.status();
        let Answer { mut session, peer } = answer;
        let headers = session.response_header().map(|head| head.headers.clone()).unwrap_or_default();
        let mut meter = self.provider.meter(self.endpoint, self.call, status, &headers, request);
        if matches!(status, 401 | 403) {
            tracing::warn!(setting.id = %setting.id, status, "the provider refused a credential");
            return Told::failed(Failed::Gateway(GatewayError::UpstreamAuth), Reading::default());
        }
        let is_good = (200..300).contains(&status);
        let mut read = Read {
            decoder: Decoder::of(headers.get(CONTENT_ENCODING).map(http::HeaderValue::as_bytes)),
            meter: &mut *meter,
            pieces: Vec::new(),
            bytes: 0,
            limit: if is_good { WHOLE } else { ERROR_WHOLE },
        };
        let ended = loop {
            let piece = tokio::select! {
                biased;
                piece = session.read_response_body() => piece,
                _ = gone.wait_for(|gone| *gone) => break Err(Failed::ClientGone),
                () = tokio::time::sleep_until(self.patience.going_on()) => break Err(Failed::Gateway(GatewayError::Timeout)),
            };
            match piece {
                Ok(Some(piece)) => {
                    if !read.push(piece) {
                        break Err(Failed::Gateway(GatewayError::Upstream));
                    }
                    if session.response_done() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(_) => break Err(Failed::Gateway(GatewayError::Upstream)),
            }
        };
        if ended.is_ok() {
            read.end();
        }
        let body = Bytes::from(read.pieces.concat());
        let reading = meter.reading(if ended.is_ok() { Ending::Complete } else { Ending::Aborted });
        let outcome = match ended {
            Ok(()) => {
                let keep = Some(self.g.settings.upstream_keepalive);
                self.g.connector.release_http_session(session, &*peer, keep).await;
                if is_good { Ok(body) } else { Err(refused(status, &headers, body)) }
            }
            Err(failed) => Err(failed),
        };
        let id = headers::upstream_request_id(&headers).and_then(|id| id.to_str().ok()).unwrap_or_default();
        Told { reading, also: meter.also(), upstream_request_id: id.into(), outcome }
    }
}

fn refused(status: u16, headers: &HeaderMap, body: Bytes) -> Failed {
    let class = headers.get(EXCEPTION).and_then(|class| class.to_str().ok()).map(Into::into);
    Failed::Upstream { status, class, retry_after: headers.get(http::header::RETRY_AFTER).cloned(), body }
}

/// A body on its way in, in plain bytes, as its meter lets it through.
struct Read<'a> {
    decoder: Decoder,
    meter: &'a mut dyn ResponseMeter,
    pieces: Vec<Bytes>,
    bytes: usize,
    limit: usize,
}

impl Read<'_> {
    /// Whether it still fits.
    fn push(&mut self, piece: Bytes) -> bool {
        let before = self.pieces.len();
        if let Some(plain) = self.decoder.decode(piece) {
            self.meter.push(plain, &mut self.pieces);
        }
        self.weigh(before)
    }

    fn end(&mut self) {
        if let Some(rest) = self.decoder.finish() {
            self.meter.push(rest, &mut self.pieces);
        }
        self.meter.end(&mut self.pieces);
    }

    fn weigh(&mut self, from: usize) -> bool {
        let fresh: usize = self.pieces.iter().skip(from).map(Bytes::len).sum();
        self.bytes = self.bytes.saturating_add(fresh);
        self.bytes <= self.limit
    }
}

/// The bills of several calls in one.
#[derive(Default)]
pub(super) struct Bill {
    calls: usize,
    pub(super) reading: Reading,
    pub(super) also: Vec<(Box<str>, Usage)>,
    pub(super) upstream_request_id: Box<str>,
    /// Some of it was cut short.
    pub(super) aborted: bool,
}

impl Bill {
    /// Adds what a call consumed; gives back what it answered.
    fn add(&mut self, told: Told) -> Result<Bytes, Failed> {
        let Told { reading, also, upstream_request_id, outcome } = told;
        if reading.usage != Usage::default() {
            self.calls += 1;
            let source = worse(self.reading.usage.source, reading.usage.source);
            self.reading.usage = Usage { source, ..self.reading.usage.plus(&reading.usage) };
        }
        self.reading.model = self.reading.model.take().or(reading.model);
        self.reading.truncated |= reading.truncated;
        self.also.extend(also);
        if self.upstream_request_id.is_empty() {
            self.upstream_request_id = upstream_request_id;
        }
        let cut = matches!(outcome, Err(Failed::ClientGone | Failed::Gateway(GatewayError::Timeout)));
        self.aborted |= cut;
        outcome
    }

    fn sum(mut self, outcome: Result<Vec<Bytes>, Failed>) -> Sum {
        self.reading.usage.many |= self.calls > 1;
        Sum { outcome, bill: self }
    }
}

/// Of two sources, the one that is known less well: a sum is no better than its worst part.
const fn worse(one: UsageSource, other: UsageSource) -> UsageSource {
    match (one, other) {
        (UsageSource::Estimated, _) | (_, UsageSource::Estimated) => UsageSource::Estimated,
        (UsageSource::Partial, _) | (_, UsageSource::Partial) => UsageSource::Partial,
        (UsageSource::Upstream, _) | (_, UsageSource::Upstream) => UsageSource::Upstream,
        (UsageSource::None, UsageSource::None) => UsageSource::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(in_text: u64, source: UsageSource, outcome: Result<Bytes, Failed>) -> Told {
        let reading = Reading { usage: Usage { in_text, source, ..Usage::default() }, ..Reading::default() };
        Told { outcome, ..Told::failed(Failed::ClientGone, reading) }
    }

    #[test]
    fn a_sum_is_as_sure_as_its_least_sure_part() {
        let mut bill = Bill::default();
        assert!(bill.add(told(3, UsageSource::Upstream, Ok(Bytes::new()))).is_ok());
        assert!(bill.add(told(4, UsageSource::Estimated, Err(Failed::Gateway(GatewayError::Timeout)))).is_err());
        assert!(bill.add(told(0, UsageSource::None, Err(Failed::Gateway(GatewayError::Connect)))).is_err());
        let sum = bill.sum(Err(Failed::ClientGone));
        let Usage { in_text, source, many, .. } = sum.bill.reading.usage;
        assert_eq!((in_text, source, many, sum.bill.aborted), (7, UsageSource::Estimated, true, true));
    }

    #[test]
    fn one_call_is_a_prompt_of_its_own() {
        let mut bill = Bill::default();
        assert!(bill.add(told(3, UsageSource::Upstream, Ok(Bytes::new()))).is_ok());
        let sum = bill.sum(Ok(Vec::new()));
        assert_eq!((sum.bill.reading.usage.many, sum.bill.aborted), (false, false));
    }
}
