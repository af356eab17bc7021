//! The walk of a request, top to bottom.

use super::Gateway;
use super::admit::{self, Admitted, Planned, Wishes};
use super::answer::{answer, send, send_error};
use super::arrival::Arrival;
use super::cross_origin;
use super::face::{Beside, answer_beside};
use super::forward::{self, Answer, Fault, Patience, Payload};
use super::headers::{self, Stamp};
use super::objects::{self, Resolved};
use super::read::{self, BodyLimits, ReadBody, ReadError};
use super::ready::{self, Asked, Halt, Ready};
use super::recorder::Recorder;
use super::refusal::{Who, refuse};
use super::refuse::GatewayError;
use super::relay::{self, Delivered, Delivery, Relayed, Start, Unsent};
use super::route::{self, Run, TryLimits};
use super::settle::{self, Booked, Outcome};
use super::socket;
use super::space::{self, Space};
use super::tries::{Failed, Last, Left};
use super::unified::{self, Around, Attempts, Embeddings, Face, Held};
use crate::auth::{credential, digest};
use crate::domain::{EventFlag, Key, Setting};
use crate::ledger::Booking;
use crate::metering::Price;
use crate::providers::{Billing, Call, Dialect, Ending, Endpoint, Handle, Provider, Reading, Socket, UploadReader};
use crate::telemetry::{AbortedBy, Finished, RequestLine};
use crate::wire::chat::{Format, Opening};
use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Whether the query has this word.
fn asks_for(head: &RequestHeader, word: &str) -> bool {
    head.uri.query().is_some_and(|query| query.split('&').any(|part| part == word))
}

/// `Err` only when the connection must be cut.
pub(super) async fn walk(g: &Gateway, beside: Option<&dyn Beside>, session: &mut Session) -> pingora::Result<()> {
    let arrival = Arrival::new(g, session.req_header());
    if let Some(head) = cross_origin::preflight(g, beside.is_some(), &arrival.path, session.req_header())? {
        return send(session, head, Bytes::new()).await;
    }
    match space::of(&arrival.method, &arrival.path, &g.ports.snapshot) {
        Space::Alive => answer(session, &arrival, 200, Bytes::new()).await,
        Space::Ready => {
            let report = g.ports.readiness.report().await;
            let good = report.ready || (report.serving && asks_for(session.req_header(), "degraded=ok"));
            answer(session, &arrival, if good { 200 } else { 503 }, report.body.into()).await
        }
        Space::Unknown { dialect } => {
            if let Some(beside) = beside.filter(|_| !arrival.path.starts_with("/api/")) {
                return Box::pin(answer_beside(g, beside, session, &arrival)).await;
            }
            let who = Who { dialect: Some(dialect), ..Who::nobody() };
            refuse(g, session, &arrival, who, GatewayError::NotFound).await
        }
        Space::Provider { provider, endpoint } if g.ports.metrics.in_flight() > g.settings.max_in_flight => {
            let who = Who::calls(&*provider, &endpoint);
            refuse(g, session, &arrival, who, GatewayError::Overloaded).await
        }
        Space::Route { rest } if g.ports.metrics.in_flight() > g.settings.max_in_flight => {
            let who = Who { dialect: Some(route::dialect(&rest)), ..Who::nobody() };
            refuse(g, session, &arrival, who, GatewayError::Overloaded).await
        }
        Space::Route { rest } => Box::pin(route::serve(g, session, arrival, &rest)).await,
        Space::Provider { provider, endpoint } => serve(g, session, arrival, provider, endpoint).await,
        Space::Unified(surface) if g.ports.metrics.in_flight() > g.settings.max_in_flight => {
            let who = Who { dialect: Some(surface.dialect()), ..Who::nobody() };
            refuse(g, session, &arrival, who, GatewayError::Overloaded).await
        }
        Space::Unified(surface) => unified::serve(g, session, arrival, surface).await,
    }
}

async fn serve(
    g: &Gateway,
    session: &mut Session,
    arrival: Arrival,
    provider: Handle,
    endpoint: Endpoint,
) -> pingora::Result<()> {
    let callee = provider.clone();
    let who = Who::calls(&*callee, &endpoint);
    let deadline = match arrival.deadline(g, &session.req_header().headers) {
        Ok(deadline) => deadline,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let key = match identify(g, session, &*provider) {
        Ok(key) => key,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let who = Who { key: Some(&key), ..who };
    let fitting = match preconditions(g, session, &key, &*provider, &arrival) {
        Ok(fitting) => fitting,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let body = match request_body(g, session, &key, &endpoint, &fitting).await {
        Ok(body) => body,
        Err(ReadError::Refused(error)) => return refuse(g, session, &arrival, who, error).await,
        Err(ReadError::ClientGone) => return Err(cut()),
    };
    let bytes = body.as_ref().map(|b| b.bytes.clone()).unwrap_or_default();
    let named = provider.references(&endpoint, session.req_header().uri.query(), &bytes);
    let mut resolved = Resolved::default();
    if !named.is_empty() {
        resolved = match Box::pin(objects::check(g, &key, provider.name(), &fitting, &named)).await {
            Ok(resolved) => resolved,
            Err(error) => return refuse(g, session, &arrival, who, error).await,
        };
    }
    let socket = provider.socket(&endpoint, session.req_header().uri.query(), &session.req_header().headers);
    if socket.is_some() && !session.downstream_session.is_upgrade_req() {
        return refuse(g, session, &arrival, who, GatewayError::UpgradeRequired).await;
    }
    let call = match &socket {
        Some(socket) => Ok(socket.call.clone()),
        None => read_call(session, &*provider, &endpoint, &bytes),
    };
    let planned = call.and_then(|call| plan(&arrival, Arc::clone(&key), &fitting, provider, endpoint, call, resolved));
    let planned = match planned {
        Ok(planned) => planned,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let model = planned.call.model.clone();
    let who = Who { model: &model, ..who };
    let headers = &session.req_header().headers;
    let wishes = Wishes::of(headers);
    let kept_wishes = socket.is_some().then(|| wishes.clone());
    let admitted = match admit::admit(g, planned, &[], wishes, &bytes, &arrival).await {
        Ok(admitted) => admitted,
        Err(error) => return refuse(g, session, &arrival, who, error).await,
    };
    let patience = Patience { deadline, idle: g.settings.idle_timeout, first: None };
    let Admitted { planned, mut booking, price, rate } = admitted;
    if planned.key.log_request {
        booking.learn(|event| event.request = settle::logged_body(&bytes, g.settings.log_body_limit));
    }
    let mut serving = Serving::new(g, &arrival, planned, price, rate, bytes);
    let exchanged = serving.exchange(session, booking, body, patience, socket.zip(kept_wishes)).await;
    serving.finish(session, exchanged).await
}

/// The key that the client presents.
fn identify(g: &Gateway, session: &Session, provider: &dyn Provider) -> Result<Arc<Key>, GatewayError> {
    let headers = &session.req_header().headers;
    let signed = || credential::signing_key(headers, provider.signing_service()?);
    let raw = credential::presented_key(headers).or_else(signed).ok_or(GatewayError::NoKey)?;
    let snapshot = g.ports.snapshot.load();
    snapshot.key(&digest::digest(raw)).cloned().ok_or(GatewayError::UnknownKey)
}

/// Everything that can be said before the body is read.
fn preconditions(
    g: &Gateway,
    session: &Session,
    key: &Key,
    provider: &dyn Provider,
    arrival: &Arrival,
) -> Result<Vec<Arc<Setting>>, GatewayError> {
    admit::key_is_usable(g, key, arrival)?;
    let fitting = admit::fitting_settings(&g.ports.snapshot.load(), key, provider.name())?;
    admit::path_is_allowed(key, arrival)?;
    read::can_be_read(session)?;
    Ok(fitting)
}

/// Bodies that a rule must look at are read whole; others are streamed through. Of an upload, permitted models and a
/// budget must know what it asks for before it is sent; what is only billed can be read while it passes.
async fn request_body(
    g: &Gateway,
    session: &mut Session,
    key: &Key,
    endpoint: &Endpoint,
    fitting: &[Arc<Setting>],
) -> Result<Option<ReadBody>, ReadError> {
    let upload = !endpoint.json_body && session.get_header_bytes(http::header::CONTENT_TYPE).starts_with(b"multipart/");
    let model_matters = fitting.iter().any(|setting| !setting.allowed_models.is_empty())
        || (key.has_budget() && endpoint.billing == Billing::Usage);
    let small = read::declared_length(session).is_some_and(|n| n <= 64 * 1024);
    if upload && !small && !model_matters {
        if read::declared_length(session).is_some_and(|n| n > g.settings.upload_limit) {
            return Err(ReadError::Refused(GatewayError::BodyTooLarge { limit: g.settings.upload_limit }));
        }
        read::invite(session).await?;
        return Ok(None);
    }
    let limits = BodyLimits { bytes: g.settings.body_limit, time: g.settings.body_timeout };
    read::body(session, limits, &g.memory).await.map(Some)
}

fn read_call(
    session: &Session,
    provider: &dyn Provider,
    endpoint: &Endpoint,
    body: &Bytes,
) -> Result<Call, GatewayError> {
    let read = provider.read(endpoint, &session.req_header().headers, body);
    read.map_err(|bad| GatewayError::BadRequest { message: bad.message, param: bad.param })
}

fn plan(
    arrival: &Arrival,
    key: Arc<Key>,
    fitting: &[Arc<Setting>],
    provider: Handle,
    endpoint: Endpoint,
    mut call: Call,
    resolved: Resolved,
) -> Result<Planned, GatewayError> {
    call.charged_as = resolved.charged_as;
    let made_with = fitting.iter().find(|setting| Some(setting.id) == resolved.setting);
    let fitting = made_with.map_or(fitting, std::slice::from_ref);
    let setting = admit::choose_setting(&key, fitting, &call, &*provider, arrival)?;
    let call = match provider.with_setting(&call, &setting) {
        Cow::Owned(known) => known,
        Cow::Borrowed(_) => call,
    };
    Ok(Planned { key, setting, provider, endpoint, call, row: None })
}

/// An admitted request on its way.
pub(super) struct Serving<'a> {
    pub(super) g: &'a Gateway,
    pub(super) arrival: &'a Arrival,
    pub(super) planned: Planned,
    pub(super) price: Option<Price>,
    rate: Option<crate::limits::RateState>,
    /// The body for the upstream, before the provider has had its say.
    pub(super) request: Bytes,
    /// In place of the client's own head.
    pub(super) client: Option<RequestHeader>,
    /// Of refusals, in place of the provider's.
    pub(super) dialect: Option<Dialect>,
    pub(super) attempts: Attempts,
    pub(super) around: Option<Around>,
    /// What the upstream could not be asked for.
    pub(super) dropped: Vec<String>,
    /// The client's form of a conversation: what the first output of a stream looks like.
    pub(super) form: Option<Format>,
    /// Several calls in place of one exchange.
    pub(super) embeddings: Option<Embeddings>,
    /// The route whose steps are tried.
    pub(super) run: Option<Box<Run>>,
    /// Of each try, where the route has some.
    pub(super) limits: Option<TryLimits>,
    /// The last refusal that was put aside.
    pub(super) last: Option<Last>,
    /// Memory of what was fetched for the request.
    pub(super) held: Held,
    /// Takes the answer down for the cache.
    pub(super) recorder: Option<Recorder>,
}

/// How the exchange with the upstream went.
pub(super) struct Exchanged {
    pub(super) delivered: Delivered,
    /// To be sent in place of an answer.
    pub(super) refusal: Option<GatewayError>,
    /// Spent waiting for the upstream's head.
    pub(super) waited: Duration,
}

impl<'a> Serving<'a> {
    pub(super) fn new(
        g: &'a Gateway,
        arrival: &'a Arrival,
        planned: Planned,
        price: Option<Price>,
        rate: Option<crate::limits::RateState>,
        request: Bytes,
    ) -> Self {
        Self {
            g,
            arrival,
            planned,
            price,
            rate,
            request,
            client: None,
            dialect: None,
            attempts: Attempts::default(),
            around: None,
            dropped: Vec::new(),
            form: None,
            embeddings: None,
            run: None,
            limits: None,
            last: None,
            held: Held::new(),
            recorder: None,
        }
    }

    /// Forward and relay. Whatever happens, the booking is closed when this returns.
    pub(super) async fn exchange(
        &mut self,
        session: &mut Session,
        mut booking: Booking,
        body: Option<ReadBody>,
        patience: Patience,
        mut socket: Option<(Socket, Wishes)>,
    ) -> Exchanged {
        let sent_at = Instant::now();
        loop {
            let (whole, tried_at) = (patience, Instant::now());
            let patience = self.limits.map_or(whole, |limits| limits.bound(whole, tried_at));
            let tried = match &self.embeddings {
                None => self.attempt(session, &mut booking, body.is_some(), patience, socket.as_mut()).await,
                Some(asked) => {
                    let made = Box::pin(unified::ask_for_vectors(self, asked, session, patience)).await;
                    let Some((failure, retry_after)) = made.failure(self.g.ports.clock.now()) else {
                        self.answered(tried_at);
                        return Box::pin(made.deliver(self, session, booking)).await;
                    };
                    // Each of the calls was tried as often as it may be.
                    self.attempts.use_up();
                    Err(Failed { failure, retry_after, left: Left::Made(Box::new(made)) })
                }
            };
            let failed = match tried {
                Ok(answer) if answer.status() == 101 => {
                    return match socket {
                        Some((Socket { meter, .. }, wishes)) => {
                            Box::pin(socket::relay(self, booking, answer, meter, session, &wishes)).await
                        }
                        // Nobody asked for another protocol.
                        None => self.unanswered(booking, GatewayError::Upstream),
                    };
                }
                Ok(answer) => {
                    let waited = sent_at.elapsed();
                    // Elsewhere a stream's head goes out as it comes, and is the end of all tries.
                    let more = self.run.as_ref().is_some_and(|run| run.more() || self.attempts.more());
                    match self.relay(session, booking, answer, patience, more).await {
                        Relayed::Delivered(delivered) => {
                            self.delivered(&delivered, tried_at);
                            return Exchanged { delivered, refusal: None, waited };
                        }
                        Relayed::Withdrawn(withdrawn) => {
                            booking = withdrawn.booking;
                            let left = Left::Broken(Box::new(withdrawn.reading));
                            Failed { failure: withdrawn.failure, retry_after: None, left }
                        }
                    }
                }
                Err(failed) => failed,
            };
            let moved = Box::pin(self.move_on(session, &mut booking, failed, tried_at, whole.deadline)).await;
            if let Some(failed) = moved {
                return Box::pin(self.give_up(session, booking, failed, tried_at, patience)).await;
            }
        }
    }

    /// `more`: another try could be made, should this one fail before anything is out.
    pub(super) async fn relay(
        &mut self,
        session: &mut Session,
        booking: Booking,
        answer: Answer,
        patience: Patience,
        more: bool,
    ) -> Relayed {
        let start = Start {
            arrival: self.arrival,
            planned: &self.planned,
            price: self.price.as_ref(),
            booking,
            request: &self.request,
            patience,
            stamp: self.stamp(),
            around: self.around.as_ref(),
            spare: self.form.filter(|_| more).map(Opening::new),
            recorder: self.recorder.as_mut().filter(|_| answer.status() == 200),
        };
        relay::relay(self.g, start, answer, session).await
    }

    /// Whose errors the client reads.
    pub(super) const fn face(&self) -> Face {
        if matches!(self.dialect, Some(Dialect::Unified)) { Face::Unified } else { Face::Own }
    }

    /// Sends the request with the credential that is planned now. `whole`: its body is in memory. A refusal of the upstream
    /// is no answer.
    async fn attempt(
        &mut self,
        session: &mut Session,
        booking: &mut Booking,
        whole: bool,
        patience: Patience,
        socket: Option<&mut (Socket, Wishes)>,
    ) -> Result<Answer, Failed> {
        let answer = self.ask(session, booking, whole, patience, socket).await.map_err(Failed::of_halt)?;
        // A route sends nobody elsewhere: another step may have the answer.
        let refused = if self.run.is_some() { 300 } else { 400 };
        if answer.status() < refused {
            return Ok(answer);
        }
        let retry_after = answer.retry_after(self.g.ports.clock.now());
        Err(Failed::of_answer(answer, retry_after))
    }

    async fn ask(
        &mut self,
        session: &mut Session,
        booking: &mut Booking,
        whole: bool,
        patience: Patience,
        socket: Option<&mut (Socket, Wishes)>,
    ) -> Result<Answer, Halt> {
        let (g, planned) = (self.g, &self.planned);
        let client = self.client.as_ref().unwrap_or(session.req_header());
        let asked = Asked {
            provider: &planned.provider,
            endpoint: &planned.endpoint,
            call: &planned.call,
            setting: &planned.setting,
            unified: self.client.is_some(),
        };
        let declared = read::declared_length(session);
        let length = |body: &Bytes| if whole { Some(body.len() as u64) } else { declared };
        let Ready { upstream, mut head, body } = ready::ready(g, asked, client, &self.request, length).await?;
        if let Some((Socket { headers, .. }, _)) = socket {
            headers::ask_for_upgrade(&mut head, std::mem::take(headers));
            return forward::upgrade(&g.connector, &upstream, head, patience).await.map_err(Halt::Fault);
        }
        let mut reader =
            if whole { None } else { planned.provider.upload(&planned.endpoint, &session.req_header().headers) };
        let payload = if whole {
            Payload::Whole(body)
        } else {
            Payload::Streamed {
                limit: g.settings.upload_limit,
                reader: reader.as_mut().map(|reader| &mut **reader as &mut dyn UploadReader),
            }
        };
        let count = |state| g.ports.metrics.connected(state);
        let answer = forward::forward(&g.connector, &upstream, head, payload, session, patience, &count).await;
        if let Some(reader) = reader {
            self.learn(&reader.call(), booking);
        }
        answer.map_err(Halt::Fault)
    }

    /// What an upload turned out to ask for, once it has passed.
    fn learn(&mut self, call: &Call, booking: &mut Booking) {
        booking.learn(|event| {
            event.model = call.model.clone();
            event.user_id = call.user.clone();
        });
        self.planned.call = self.planned.provider.with_setting(call, &self.planned.setting).into_owned();
        self.price = admit::price_of(self.g, &self.planned, self.arrival);
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            request_id: self.arrival.request_id.clone(),
            allowed: self.arrival.allowed.clone(),
            event_id: Some(self.arrival.event_id),
            provider: Some(self.planned.provider.name().into()),
            model: Some(self.planned.call.model.clone()),
            rate: self.rate,
            cost: None,
            dropped: shown_names(&self.dropped),
            cache: self.recorder.is_some().then_some(headers::CacheState::Miss),
        }
    }

    /// Nothing came back and nothing was consumed.
    pub(super) fn unanswered(&self, booking: Booking, error: GatewayError) -> Exchanged {
        let status = error.status();
        let booked = self.book_fault(booking, status, Ending::Complete, Reading::default());
        let delivered = Delivered { delivery: Delivery::Whole, status, booked, first_byte: None };
        Exchanged { delivered, refusal: Some(error), waited: Duration::ZERO }
    }

    /// Nothing came back; when the request had been sent, its prompt may have been consumed and is booked as an estimate.
    pub(super) fn faulted(&self, booking: Booking, fault: Fault) -> Exchanged {
        let error = GatewayError::of_fault(fault);
        let status = error.as_ref().map_or(settle::CLIENT_CLOSED_REQUEST, GatewayError::status);
        let reading = if fault.may_have_consumed() {
            let planned = &self.planned;
            let no_head = http::HeaderMap::new();
            let mut meter = planned.provider.meter(&planned.endpoint, &planned.call, 200, &no_head, &self.request);
            Reading { truncated: false, ..meter.reading(Ending::Aborted) }
        } else {
            Reading::default()
        };
        let ending = if fault == Fault::Connect { Ending::Complete } else { Ending::Aborted };
        let booked = self.book_fault(booking, status, ending, reading);
        let delivery = if error.is_some() { Delivery::Whole } else { Delivery::ClientGone };
        let delivered = Delivered { delivery, status, booked, first_byte: None };
        Exchanged { delivered, refusal: error, waited: Duration::ZERO }
    }

    pub(super) fn book_fault(&self, booking: Booking, status: u16, ending: Ending, reading: Reading) -> Booked {
        let outcome = Outcome {
            status,
            ending,
            reading,
            also: Vec::new(),
            upstream_request_id: Box::default(),
            response_log: None,
        };
        settle::close(booking, &self.planned, self.price.as_ref(), outcome, &self.g.ports, self.arrival)
    }

    /// Sends what is still to be sent, and tells metrics and log.
    pub(super) async fn finish(&self, session: &mut Session, exchanged: Exchanged) -> pingora::Result<()> {
        let Exchanged { delivered, refusal, waited } = exchanged;
        let refusal = refusal.or(match delivered.delivery {
            Delivery::Unsent(Unsent::Broken) => Some(GatewayError::Upstream),
            Delivery::Unsent(Unsent::TimedOut) => Some(GatewayError::Timeout),
            _ => None,
        });
        self.report(&delivered, waited, refusal.as_ref());
        if let Some(error) = refusal {
            let dialect = self.dialect.unwrap_or_else(|| self.planned.provider.dialect(&self.planned.endpoint));
            return send_error(session, &error, dialect, &self.stamp()).await;
        }
        match delivered.delivery {
            Delivery::Whole => Ok(()),
            Delivery::ClientGone | Delivery::Cut | Delivery::Unsent(_) => Err(cut()),
        }
    }

    fn report(&self, delivered: &Delivered, waited: Duration, refusal: Option<&GatewayError>) {
        let (g, planned, arrival) = (self.g, &self.planned, self.arrival);
        let duration = arrival.started.elapsed();
        let first_byte = delivered.first_byte.map(|at| at - arrival.started);
        let booked = &delivered.booked;
        let aborted = match delivered.delivery {
            Delivery::ClientGone => Some(AbortedBy::Client),
            Delivery::Cut => Some(AbortedBy::Upstream),
            _ => refusal.and_then(GatewayError::aborted_by),
        };
        if let Some(by) = aborted {
            g.ports.metrics.aborted(by);
        }
        g.ports.metrics.endpoint(planned.provider.label(), planned.endpoint.template).finished(&Finished {
            status: delivered.status,
            duration,
            first_byte,
            // What the gateway itself did before the upstream had the request and after its head was there.
            overhead: first_byte.map(|t| t.saturating_sub(waited)),
            usage: &booked.usage,
            cost: booked.cost,
            unpriced: booked.flags.contains(&EventFlag::Unpriced),
        });
        let Some(log) = &g.ports.request_log else { return };
        let line = RequestLine {
            request_id: &arrival.request_id,
            event_id: Some(arrival.event_id),
            key_id: Some(planned.key.id),
            provider: planned.provider.name(),
            model: &planned.call.model,
            method: arrival.method.as_str(),
            endpoint: planned.endpoint.template,
            status: delivered.status,
            duration,
            first_byte,
            prompt_tokens: booked.usage.prompt_tokens(),
            completion_tokens: booked.usage.completion_tokens(),
            cost: booked.cost,
            flags: &booked.flags,
            aborted,
            refused: None,
        };
        log.write(&line, g.ports.clock.now());
    }
}

/// Names for a header, each harmless there.
fn shown_names(names: &[String]) -> Option<Box<str>> {
    let harmless = |name: &&String| {
        let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
        name.len() <= 64 && name.bytes().all(fine)
    };
    let shown: Vec<&str> = names.iter().filter(harmless).take(32).map(String::as_str).collect();
    (!shown.is_empty()).then(|| shown.join(",").into())
}

pub(super) fn cut() -> Box<pingora::Error> {
    pingora::Error::new_down(pingora::ErrorType::ConnectionClosed)
}
