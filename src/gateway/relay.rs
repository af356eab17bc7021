//! Hands the answer to the client: small JSON as a whole, everything else piece by piece as it comes.
//! In both cases the event is in the journal before the last byte leaves.

mod held_back;

use super::Gateway;
use super::admit::Planned;
use super::arrival::Arrival;
use super::decode::Decoder;
use super::forward::{Answer, Patience};
use super::headers::{self, Framing, Stamp, StillTrue};
use super::objects;
use super::recorder::Recorder;
use super::settle::{self, Booked, Outcome, ResponseLog};
use super::unified::Around;
use crate::domain::UsageSource;
use crate::ledger::Booking;
use crate::metering::Price;
use crate::providers::{Billing, Ending, Progress, Reading, ResponseMeter};
use crate::routing::Failure;
use crate::wire::chat::Opening;
use bytes::Bytes;
use held_back::HeldBack;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderName, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora_core::protocols::http::client::HttpSession;
use std::time::Duration;
use tokio::time::Instant;

/// JSON answers up to this size are held until they are whole, so that their cost can be told in the head.
const HELD_WHOLE: usize = 256 * 1024;
/// Lists that must be filtered are held up to this size; a longer one is refused.
const LIST_WHOLE: usize = 8 * 1024 * 1024;

/// How long an upstream may take to end a stream that is over, so that its connection can be used again.
const LAST_WORD: Duration = Duration::from_millis(100);

/// How the client's side of the exchange ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Delivery {
    Whole,
    ClientGone,
    /// The stream was cut after its head was sent; the connection must not be reused.
    Cut,
    /// Nothing was sent yet: the caller refuses in the client's dialect.
    Unsent(Unsent),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unsent {
    Broken,
    TimedOut,
}

/// What the walk wants to know afterwards.
#[derive(Debug)]
pub(super) struct Delivered {
    pub(super) delivery: Delivery,
    pub(super) status: u16,
    pub(super) booked: Booked,
    pub(super) first_byte: Option<Instant>,
}

/// How a relay ended.
pub(super) enum Relayed {
    Delivered(Delivered),
    Withdrawn(Withdrawn),
}

/// An answer that came to nothing before the client saw any of it, where another try may do better.
pub(super) struct Withdrawn {
    /// Open still.
    pub(super) booking: Booking,
    pub(super) failure: Failure,
    /// What it has consumed as far as it is known, for when there is no better answer.
    pub(super) reading: Reading,
}

/// One answer on its way.
pub(super) struct Relay<'a> {
    g: &'a Gateway,
    arrival: &'a Arrival,
    planned: &'a Planned,
    price: Option<&'a Price>,
    /// `None` once closed.
    booking: Option<Booking>,
    client: &'a mut Session,
    upstream: HttpSession,
    /// The exchange with the upstream ended as both sides agreed.
    reusable: bool,
    patience: Patience,
    meter: Box<dyn ResponseMeter>,
    decoder: Decoder,
    log: ResponseLog,
    status: u16,
    upstream_request_id: Box<str>,
    booked: Option<Booked>,
    /// The client takes the cost as an HTTP/2 trailer.
    trailer: bool,
    out: Vec<Bytes>,
    /// A list of which the client may see its own objects only.
    filtered: bool,
    /// The body must be held whole, up to so many bytes.
    must_hold: Option<usize>,
    /// What a silent stream says, once its head is out.
    keep_alive: Option<Bytes>,
    /// Nothing is out, and another try could be made.
    spare: Option<Opening>,
    recorder: Option<&'a mut Recorder>,
}

/// What comes next from the upstream.
enum Next {
    Piece(Bytes, bool),
    End,
    Broken,
    TimedOut,
    ClientGone,
}

/// What a relay starts from.
pub(super) struct Start<'a> {
    pub(super) arrival: &'a Arrival,
    pub(super) planned: &'a Planned,
    pub(super) price: Option<&'a Price>,
    pub(super) booking: Booking,
    /// The client's own body, counted when the answer does not report usage.
    pub(super) request: &'a Bytes,
    pub(super) patience: Patience,
    pub(super) stamp: Stamp,
    /// What is done to the answer on its way.
    pub(super) around: Option<&'a Around>,
    /// Another try can be made as long as nothing is out: an answer that fails before is withdrawn. Tells a stream's
    /// first output.
    pub(super) spare: Option<Opening>,
    /// Takes what the client gets.
    pub(super) recorder: Option<&'a mut Recorder>,
}

pub(super) async fn relay(g: &Gateway, start: Start<'_>, answer: Answer, client: &mut Session) -> Relayed {
    let Start { arrival, planned, price, booking, request, patience, stamp, around, spare, recorder } = start;
    let status = answer.status();
    let Answer { session, peer } = answer;
    let none = HeaderMap::new();
    let headers = session.response_header().map_or(&none, |head| &head.headers);
    let mut meter = planned.provider.meter(&planned.endpoint, &planned.call, status, headers, request);
    if let Some(around) = around {
        meter = around.wrap(meter, status, headers);
    }
    let event_stream = meter.is_stream();
    let filtered = (200..300).contains(&status)
        && planned.provider.lists_objects(&planned.endpoint)
        && !objects::are_exclusive(g, std::slice::from_ref(&planned.setting));
    let must_hold = if filtered { Some(LIST_WHOLE) } else { meter.held_whole() };
    let held_whole = must_hold.unwrap_or(HELD_WHOLE);
    let held = must_hold.is_some()
        || !event_stream
            && content_type_is(headers, b"application/json")
            && content_length(headers).is_none_or(|n| n <= held_whole as u64);
    let log = ResponseLog::new(planned.key.log_response, event_stream, g.settings.log_body_limit);
    let mut relay = Relay {
        g,
        arrival,
        decoder: Decoder::of(headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes)),
        upstream_request_id: headers::upstream_request_id(headers)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
            .into(),
        planned,
        price,
        booking: Some(booking),
        trailer: client.is_http2() && wants_trailers(client),
        client,
        upstream: session,
        reusable: true,
        patience,
        meter,
        log,
        status,
        booked: None,
        out: Vec::with_capacity(2),
        filtered,
        must_hold,
        keep_alive: None,
        spare,
        recorder,
    };
    let relayed = if held { relay.held(stamp).await } else { relay.streamed(stamp, event_stream, Vec::new()).await };
    let delivered = match relayed {
        Ok(delivered) => delivered,
        Err(failure) => return relay.withdrawn(failure).await,
    };
    let Relay { upstream, reusable, .. } = relay;
    if delivered.delivery == Delivery::Whole && reusable {
        g.connector.release_http_session(upstream, &*peer, Some(g.settings.upstream_keepalive)).await;
    }
    Relayed::Delivered(delivered)
}

impl Relay<'_> {
    /// The upstream's head as the client gets it; there is one, or there were no relay.
    fn head(&self, stamp: &Stamp, still: StillTrue, framing: Framing) -> Option<ResponseHeader> {
        self.upstream
            .response_header()
            .map(|head| headers::response_head(head, stamp, still, framing, Some(&*self.meter)))
    }

    /// What comes next. A client whose stream is silent for long is told that it lives, where its form has a word for it.
    async fn next(&mut self) -> Next {
        let heard = Instant::now();
        let mut until = self.patience.deadline.min(heard + self.patience.idle);
        if self.spare.is_some() {
            until = self.patience.first.map_or(until, |first| until.min(first));
        }
        let mut quiet = heard + self.g.settings.keep_alive;
        loop {
            let wake = if self.keep_alive.is_some() { until.min(quiet) } else { until };
            match self.next_until(wake).await {
                Some(next) => return next,
                None if wake >= until => return Next::TimedOut,
                None => {}
            }
            quiet += self.g.settings.keep_alive;
            let sign = self.keep_alive.clone();
            if self.write(vec![HttpTask::Body(sign, false)]).await != Delivery::Whole {
                return Next::ClientGone;
            }
        }
    }

    /// `None` when nothing has come until then.
    async fn next_until(&mut self, until: Instant) -> Option<Next> {
        tokio::select! {
            biased;
            piece = self.upstream.read_response_body() => Some(match piece {
                Ok(Some(piece)) => { let done = self.upstream.response_done(); Next::Piece(piece, done) }
                Ok(None) => Next::End,
                Err(e) if *e.etype() == pingora::ErrorType::ReadTimedout => Next::TimedOut,
                Err(_) => Next::Broken,
            }),
            _ = self.client.downstream_session.read_body_or_idle(true) => Some(Next::ClientGone),
            () = tokio::time::sleep_until(until) => None,
        }
    }

    /// Collects the body, books it, then sends head and body in one write.
    async fn held(&mut self, mut stamp: Stamp) -> Result<Delivered, Failure> {
        let mut pieces: Vec<Bytes> = Vec::with_capacity(1);
        let mut total = 0;
        loop {
            match self.next().await {
                Next::Piece(piece, done) => {
                    self.patience.first = None;
                    total += piece.len();
                    pieces.push(piece);
                    if done {
                        break;
                    }
                    if self.must_hold.is_some_and(|limit| total > limit) {
                        return self.unsent(Unsent::Broken).await;
                    }
                    if self.must_hold.is_none() && total > HELD_WHOLE {
                        return self.streamed(stamp, false, pieces).await;
                    }
                }
                Next::End => break,
                Next::ClientGone => {
                    return Ok(self.aborted(Delivery::ClientGone, settle::CLIENT_CLOSED_REQUEST, None).await);
                }
                Next::Broken => return self.unsent(Unsent::Broken).await,
                Next::TimedOut => return self.unsent(Unsent::TimedOut).await,
            }
        }
        for piece in pieces {
            self.take(piece);
        }
        self.finish_body();
        let status = self.meter.status(self.status);
        if self.spare.is_some() && self.status < 400 && status >= 500 {
            // A good answer that nobody can read.
            return Err(Failure::Broken);
        }
        self.status = status;
        if self.filtered {
            let list = join(&mut self.out);
            let (key, provider) = (self.planned.key.id, self.planned.provider.name());
            let Some(own) = Box::pin(objects::own_only(self.g, key, provider, &list)).await else {
                return self.unsent(Unsent::Broken).await;
            };
            self.out.push(own);
        }
        let first_byte = Instant::now();
        let booked = self.book(Ending::Complete).await;
        if self.planned.endpoint.billing == Billing::Usage {
            stamp.cost = Some(booked.cost.to_string());
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.is_whole();
        }
        let body = join(&mut self.out);
        let still = StillTrue { length: false, encoding: self.decoder.is_identity() };
        let framing = if matches!(self.status, 204 | 304) { Framing::Untouched } else { Framing::Length(body.len()) };
        let Some(head) = self.head(&stamp, still, framing) else { return Ok(self.cut(first_byte).await) };
        let tasks = if body.is_empty() {
            vec![HttpTask::Header(Box::new(head), true)]
        } else {
            vec![HttpTask::Header(Box::new(head), false), HttpTask::Body(Some(body), true)]
        };
        let delivery = self.write(tasks).await;
        Ok(Delivered { delivery, status: self.status, booked, first_byte: Some(first_byte) })
    }

    /// Sends the head at once and every piece as it comes. `early`: pieces that were already read.
    async fn streamed(&mut self, stamp: Stamp, event_stream: bool, early: Vec<Bytes>) -> Result<Delivered, Failure> {
        let mut held_back = None;
        if self.spare.is_some() && early.is_empty() && !self.upstream.response_done() {
            held_back = match self.until_output(event_stream).await? {
                HeldBack::Output { progress, done } => Some((progress, done)),
                HeldBack::ClientGone => {
                    return Ok(self.aborted(Delivery::ClientGone, settle::CLIENT_CLOSED_REQUEST, None).await);
                }
            };
        }
        self.spare = None;
        let first_byte = Instant::now();
        let untouched = self.decoder.is_identity();
        let still = StillTrue { length: !event_stream && untouched, encoding: untouched };
        let http2 = self.client.is_http2();
        let bodiless = held_back.is_none() && self.upstream.response_done();
        let framing =
            if bodiless || matches!(self.status, 204 | 304) { Framing::Untouched } else { Framing::Open { http2 } };
        let Some(head) = self.head(&stamp, still, framing) else { return Ok(self.cut(first_byte).await) };
        if bodiless && early.is_empty() {
            self.finish_body();
            let booked = self.book(Ending::Complete).await;
            let delivery = self.write(vec![HttpTask::Header(Box::new(head), true)]).await;
            return Ok(Delivered { delivery, status: self.status, booked, first_byte: Some(first_byte) });
        }
        let delivery = self.write(vec![HttpTask::Header(Box::new(head), false)]).await;
        if delivery != Delivery::Whole {
            return Ok(self.aborted(delivery, self.status, Some(first_byte)).await);
        }
        self.keep_alive = self.meter.keep_alive();
        if let Some((progress, done)) = held_back {
            let gone = self.show(progress, done).await;
            if let Some(delivery) = gone.or(done.then_some(Delivery::Whole)) {
                return Ok(self.aborted(delivery, self.status, Some(first_byte)).await);
            }
        }
        for piece in early {
            if let Some(gone) = self.pass(piece, false).await {
                return Ok(self.aborted(gone, self.status, Some(first_byte)).await);
            }
        }
        Ok(loop {
            let (piece, done) = match self.next().await {
                Next::Piece(piece, done) => (piece, done),
                Next::End => (Bytes::new(), true),
                Next::ClientGone => break self.aborted(Delivery::ClientGone, self.status, Some(first_byte)).await,
                Next::Broken => {
                    break self.broken(event_stream, "the provider ended the stream early", first_byte).await;
                }
                Next::TimedOut => {
                    break self.broken(event_stream, "the provider did not answer in time", first_byte).await;
                }
            };
            if let Some(gone) = self.pass(piece, done).await {
                break self.aborted(gone, self.status, Some(first_byte)).await;
            }
            if done {
                break self.aborted(Delivery::Whole, self.status, Some(first_byte)).await;
            }
        })
    }

    /// One piece through decoder and meter to the client.
    async fn pass(&mut self, piece: Bytes, done: bool) -> Option<Delivery> {
        let progress = if piece.is_empty() { Progress::More } else { self.take(piece) };
        self.show(progress, done).await
    }

    /// Sends what the meter has put out. The event is booked before a terminal marker or the end leaves.
    async fn show(&mut self, mut progress: Progress, done: bool) -> Option<Delivery> {
        // The client's stream may be over before the upstream's is.
        let early = progress == Progress::Ended && !done;
        let done = done || early;
        if done {
            self.finish_body();
            progress = Progress::Complete;
        }
        if progress == Progress::Complete && self.booked.is_none() {
            let reading = self.meter.reading(Ending::Complete);
            if reading.truncated {
                self.out.extend(self.meter.last_words("the provider ended the stream early"));
            }
            self.record();
            if let Some(recorder) = self.recorder.as_mut().filter(|_| !reading.truncated) {
                recorder.is_whole();
            }
            self.book_reading(Ending::Complete, reading).await;
        } else {
            self.record();
        }
        if self.out.is_empty() && !done {
            return None;
        }
        let mut tasks: Vec<HttpTask> = self.out.drain(..).map(|b| HttpTask::Body(Some(b), false)).collect();
        match (done, self.cost_trailer(), tasks.last_mut()) {
            (false, ..) => {}
            (true, Some(trailer), _) => tasks.push(HttpTask::Trailer(Some(Box::new(trailer)))),
            (true, None, Some(HttpTask::Body(_, end))) => *end = true,
            (true, None, _) => tasks.push(HttpTask::Done),
        }
        let delivery = self.write(tasks).await;
        if early && delivery == Delivery::Whole {
            self.reusable = self.upstream_ends().await;
        }
        (early || delivery != Delivery::Whole).then_some(delivery)
    }

    /// Shows what the client is about to get to whoever keeps it.
    fn record(&mut self) {
        self.log.add(&self.out);
        if let Some(recorder) = &mut self.recorder {
            recorder.add(&self.out);
        }
    }

    /// Whether nothing more comes from the upstream but the end of its body.
    async fn upstream_ends(&mut self) -> bool {
        let last = tokio::time::timeout(LAST_WORD, self.upstream.read_response_body()).await;
        match last {
            Ok(Ok(None)) => true,
            Ok(Ok(Some(piece))) => piece.is_empty() && self.upstream.response_done(),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn take(&mut self, piece: Bytes) -> Progress {
        match self.decoder.decode(piece) {
            Some(plain) => self.meter.push(plain, &mut self.out),
            None => Progress::More,
        }
    }

    /// The upstream's body is over: what was held back comes out.
    fn finish_body(&mut self) {
        if let Some(rest) = self.decoder.finish() {
            self.meter.push(rest, &mut self.out);
        }
        self.meter.end(&mut self.out);
    }

    fn cost_trailer(&self) -> Option<HeaderMap> {
        let booked =
            self.booked.as_ref().filter(|_| self.trailer && self.planned.endpoint.billing == Billing::Usage)?;
        let cost = HeaderValue::from_str(&booked.cost.to_string()).ok()?;
        Some(HeaderMap::from_iter([(HeaderName::from_static("x-tollgate-cost-usd"), cost)]))
    }

    async fn book(&mut self, ending: Ending) -> Booked {
        let reading = self.meter.reading(ending);
        self.record();
        self.book_reading(ending, reading).await
    }

    async fn book_reading(&mut self, ending: Ending, mut reading: Reading) -> Booked {
        if !reading.charges.is_empty() {
            let (planned, g) = (self.planned, self.g);
            let exclusive = objects::are_exclusive(g, std::slice::from_ref(&planned.setting));
            let told = std::mem::take(&mut reading.charges);
            let unpaid = g.objects.unpaid(planned.provider.name(), planned.key.id, exclusive, told);
            reading.charges = Box::pin(unpaid).await;
        }
        let booked = self.close(ending, reading, self.status);
        settle::confirm(self.g, &booked).await;
        booked
    }

    fn close(&mut self, ending: Ending, mut reading: Reading, status: u16) -> Booked {
        if ending == Ending::Aborted {
            // What was not told whole is charged when it is; only what was counted here stands for itself.
            reading.charges.retain(|charge| charge.usage.source != UsageSource::Upstream);
        }
        if !reading.made.is_empty() {
            let (planned, made) = (self.planned, &reading.made);
            self.g.objects.remember(planned.provider.name(), made, planned.key.id, planned.setting_id());
        }
        let outcome = Outcome {
            status,
            ending,
            reading,
            also: self.meter.also(),
            upstream_request_id: std::mem::take(&mut self.upstream_request_id),
            response_log: self.log.take(),
        };
        let booked = match self.booking.take() {
            Some(booking) => settle::close(booking, self.planned, self.price, outcome, &self.g.ports, self.arrival),
            None => Booked::nothing(),
        };
        self.booked.get_or_insert(booked).clone()
    }

    /// Ends the exchange without more output: what was consumed is booked, unless it is already.
    async fn aborted(&mut self, delivery: Delivery, status: u16, first_byte: Option<Instant>) -> Delivered {
        if delivery == Delivery::ClientGone {
            // At once: counting what was said may take a while, and nobody wants to hear more.
            self.reusable = false;
            let _closed = tokio::time::timeout(LAST_WORD, self.upstream.shutdown()).await.is_ok();
        }
        let booked = match &self.booked {
            Some(booked) => booked.clone(),
            None => {
                let reading = self.meter.reading(Ending::Aborted);
                self.close(Ending::Aborted, reading, status)
            }
        };
        Delivered { delivery, status, booked, first_byte }
    }

    /// The upstream broke after the head was sent: an event stream is told so in its own words, anything else is cut.
    async fn broken(&mut self, event_stream: bool, message: &str, first_byte: Instant) -> Delivered {
        self.reusable = false;
        let mut delivered = self.aborted(Delivery::Cut, self.status, Some(first_byte)).await;
        if event_stream && let Some(tail) = self.meter.last_words(message) {
            delivered.delivery = self.write(vec![HttpTask::Body(Some(tail), true)]).await;
        }
        delivered
    }

    async fn cut(&mut self, first_byte: Instant) -> Delivered {
        self.aborted(Delivery::Cut, self.status, Some(first_byte)).await
    }

    async fn write(&mut self, tasks: Vec<HttpTask>) -> Delivery {
        match self.client.downstream_session.response_duplex_vec(tasks).await {
            Ok(_) => Delivery::Whole,
            Err(_) => Delivery::ClientGone,
        }
    }
}

fn join(pieces: &mut Vec<Bytes>) -> Bytes {
    match pieces.len() {
        0 => Bytes::new(),
        1 => pieces.pop().unwrap_or_default(),
        _ => {
            let joined = Bytes::from(pieces.concat());
            pieces.clear();
            joined
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn content_type_is(headers: &HeaderMap, wanted: &[u8]) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let media = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    media.eq_ignore_ascii_case(wanted)
}

fn wants_trailers(client: &Session) -> bool {
    client.get_header_bytes(TE).split(|b| *b == b',').any(|t| t.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}
