//! The steps of a route on behalf of one request: which is next, which are passed by, and what was tried.

use super::super::Gateway;
use super::super::admit::Planned;
use super::super::arrival::Arrival;
use super::super::forward::Patience;
use super::super::refuse::GatewayError;
use super::super::walk::Serving;
use super::legs::{self, Leg, Request};
use crate::domain::{Routed, Try};
use crate::routing::{self, Failure, Standing};
use http::HeaderMap;
use pingora::http::RequestHeader;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::time::Instant as Until;
use tokio::time::Instant;

/// Failed tries that an event names; what is beyond was tried all the same.
const MOST_TRIES: usize = 100;

/// How long one try may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct TryLimits {
    pub(super) timeout: Duration,
    pub(super) first_byte: Option<Duration>,
}

impl TryLimits {
    pub(in crate::gateway) fn bound(self, whole: Patience, from: Instant) -> Patience {
        Patience {
            deadline: whole.deadline.min(from + self.timeout),
            first: self.first_byte.map(|first| from + first),
            ..whole
        }
    }
}

/// A route on its way.
pub(in crate::gateway) struct Run {
    asked: Request,
    waiting: VecDeque<Waiting>,
    /// Of the step that is tried now.
    at: usize,
    health: Option<routing::Target>,
    /// Its standing was to be found out, and is not yet.
    probing: AtomicBool,
    tries: Vec<Try>,
}

/// Of a try among the others: steps that turn out unfit while the next one is looked for come after it.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Place {
    step: u16,
    before: usize,
}

/// A step that was not tried yet.
enum Waiting {
    Step(usize),
    /// Made ready before.
    Leg(Box<Leg>),
}

impl Waiting {
    fn index(&self) -> usize {
        match self {
            Self::Step(index) => *index,
            Self::Leg(leg) => leg.index,
        }
    }
}

impl Run {
    pub(super) fn new(asked: Request, arrival: &Arrival) -> Self {
        let chance = arrival.event_id.chance() as u64;
        let order = routing::order(&asked.route.steps, chance);
        let waiting = order.into_iter().map(Waiting::Step).collect();
        Self { asked, waiting, at: 0, health: None, probing: AtomicBool::new(false), tries: Vec::new() }
    }

    /// Makes every step ready now and keeps those that `fits`: for callers whose limits must cover any of them.
    ///
    /// # Errors
    /// None is left: why the first one is not.
    pub(super) async fn make_ready(
        &mut self,
        g: &Gateway,
        arrival: &Arrival,
        headers: &HeaderMap,
        fits: impl Fn(&Leg) -> Result<(), GatewayError>,
    ) -> Result<(), GatewayError> {
        let mut ready = VecDeque::with_capacity(self.waiting.len());
        let mut first_error = None;
        for waiting in std::mem::take(&mut self.waiting) {
            match self.prepared(g, arrival, headers, waiting).await.and_then(|leg| fits(&leg).map(|()| leg)) {
                Ok(leg) => ready.push_back(Waiting::Leg(Box::new(leg))),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        self.waiting = ready;
        match first_error {
            Some(error) if self.waiting.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// The steps that were made ready.
    pub(super) fn legs(&self) -> impl Iterator<Item = &Leg> {
        self.waiting.iter().filter_map(|waiting| if let Waiting::Leg(leg) = waiting { Some(&**leg) } else { None })
    }

    /// The first step to try.
    ///
    /// # Errors
    /// None can be made ready: why the last one cannot.
    pub(super) async fn first(
        &mut self,
        g: &Gateway,
        arrival: &Arrival,
        headers: &HeaderMap,
    ) -> Result<Leg, GatewayError> {
        let mut error = GatewayError::NoSetting;
        let mut passed_by: Option<(Until, Waiting)> = None;
        while let Some(waiting) = self.waiting.pop_front() {
            let index = waiting.index();
            let until = match self.standing(g, arrival, &waiting) {
                Ok(until) => until,
                Err(unfit) => {
                    self.unfit(index);
                    error = unfit;
                    continue;
                }
            };
            if let Some(until) = until {
                if passed_by.as_ref().is_none_or(|(soonest, _)| until < *soonest) {
                    passed_by = Some((until, waiting));
                }
                continue;
            }
            match self.begin(g, arrival, headers, waiting).await {
                Ok(leg) => return Ok(leg),
                Err(unfit) => error = unfit,
            }
        }
        // All are set aside: the one whose time comes first is better than none.
        let (_, waiting) = passed_by.ok_or(error)?;
        self.begin(g, arrival, headers, waiting).await
    }

    /// The step after the one that failed. `elsewhere`: of another provider.
    pub(in crate::gateway) async fn onward(
        &mut self,
        serving: &Serving<'_>,
        head: &RequestHeader,
        elsewhere: bool,
    ) -> Option<Leg> {
        let (g, arrival) = (serving.g, serving.arrival);
        let asked = serving.planned.provider.name();
        while let Some(waiting) = self.waiting.pop_front() {
            let provider = self.asked.step(waiting.index()).map(|step| self.asked.provider(step));
            if elsewhere && provider.flatten().is_some_and(|provider| provider.name() == asked) {
                continue;
            }
            match self.standing(g, arrival, &waiting) {
                Ok(None) => {}
                Ok(Some(_)) => continue,
                Err(_) => {
                    self.unfit(waiting.index());
                    continue;
                }
            }
            if let Ok(leg) = self.begin(g, arrival, &head.headers, waiting).await {
                return Some(leg);
            }
        }
        None
    }

    async fn prepared(
        &self,
        g: &Gateway,
        arrival: &Arrival,
        headers: &HeaderMap,
        waiting: Waiting,
    ) -> Result<Leg, GatewayError> {
        let index = match waiting {
            Waiting::Leg(leg) => return Ok(*leg),
            Waiting::Step(index) => index,
        };
        let step = self.asked.step(index).ok_or(GatewayError::NotFound)?;
        let resolved = self.asked.resolve(g, step, arrival)?;
        self.asked.leg(g, arrival, headers, index, &resolved).await
    }

    /// Until when a step is set aside; `None` when it may be tried.
    fn standing(&self, g: &Gateway, arrival: &Arrival, waiting: &Waiting) -> Result<Option<Until>, GatewayError> {
        let target = match waiting {
            Waiting::Leg(leg) => leg.health,
            Waiting::Step(index) => {
                let step = self.asked.step(*index).ok_or(GatewayError::NotFound)?;
                legs::health(&self.asked.resolve(g, step, arrival)?).ok_or(GatewayError::NoSetting)?
            }
        };
        Ok(match g.health.ask(target, Until::now()) {
            Standing::Well => None,
            Standing::Probe => {
                self.probing.store(true, Ordering::Relaxed);
                None
            }
            Standing::SetAside { until } => Some(until),
        })
    }

    async fn begin(
        &mut self,
        g: &Gateway,
        arrival: &Arrival,
        headers: &HeaderMap,
        waiting: Waiting,
    ) -> Result<Leg, GatewayError> {
        let index = waiting.index();
        match self.prepared(g, arrival, headers, waiting).await {
            Ok(leg) => {
                (self.at, self.health) = (leg.index, Some(leg.health));
                Ok(leg)
            }
            Err(unfit) => {
                // A probe that cannot be sent expires.
                self.probing.store(false, Ordering::Relaxed);
                self.unfit(index);
                Err(unfit)
            }
        }
    }

    /// A step that cannot even be asked.
    fn unfit(&mut self, index: usize) {
        let Some(step) = self.asked.step(index) else { return };
        let tried = Try {
            step: number(index),
            provider: step.provider.clone(),
            model: step.model.clone(),
            status: 0,
            failure: Failure::Unfit.label().into(),
            latency_ms: 0,
        };
        self.keep(tried);
    }

    fn keep(&mut self, tried: Try) {
        if self.tries.len() < MOST_TRIES {
            self.tries.push(tried);
        }
    }

    /// A step waits that could be tried.
    pub(in crate::gateway) fn more(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Where the try under way belongs, to be asked before the next step is looked for.
    pub(in crate::gateway) fn place(&self) -> Place {
        Place { step: self.step(), before: self.tries.len() }
    }

    /// Writes down a try whose answer the client does not see.
    pub(in crate::gateway) fn note(
        &mut self,
        place: Place,
        planned: &Planned,
        status: u16,
        failure: &str,
        took: Duration,
    ) {
        let tried = Try {
            step: place.step,
            provider: planned.provider.name().into(),
            model: planned.call.model.clone(),
            status,
            failure: failure.into(),
            latency_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        };
        if self.tries.len() < MOST_TRIES {
            self.tries.insert(place.before.min(self.tries.len()), tried);
        }
    }

    /// As the event tells it.
    pub(in crate::gateway) fn routed(&self) -> Routed {
        Routed { route: self.asked.route.id, step: number(self.at), tries: self.tries.clone() }
    }

    /// The step that is tried now, from 1.
    pub(super) fn step(&self) -> u16 {
        number(self.at)
    }

    /// Counts a try.
    pub(in crate::gateway) fn tried(&self, serving: &Serving<'_>, outcome: &'static str, took: Duration) {
        let provider = serving.planned.provider.label();
        serving.g.ports.metrics.route_try(&self.asked.route.path, self.step(), provider, outcome, took);
    }

    /// The client has an answer of this step.
    pub(in crate::gateway) fn answered(&self, serving: &Serving<'_>, took: Duration) {
        self.tried(serving, "answered", took);
        if let Some(target) = self.health {
            self.probing.store(false, Ordering::Relaxed);
            serving.g.health.succeeded(target);
        }
    }

    /// This step is over without an answer.
    pub(in crate::gateway) fn step_failed(&self, g: &Gateway, failure: Failure, retry_after: Option<Duration>) {
        let Some(target) = self.health else { return };
        let probing = self.probing.swap(false, Ordering::Relaxed);
        if failure.tells_of_ill_health() {
            g.health.failed(target, Until::now(), retry_after);
        } else if matches!(failure, Failure::Status(_)) {
            // Whoever refuses what was asked is well.
            g.health.succeeded(target);
        } else if probing {
            g.health.released(target);
        }
    }

    /// Nothing came of the request before or while it was tried.
    pub(super) fn abandoned(&self, g: &Gateway) {
        if let Some(target) = self.health
            && self.probing.swap(false, Ordering::Relaxed)
        {
            g.health.released(target);
        }
    }

    pub(super) fn asked(&self) -> &Request {
        &self.asked
    }
}

impl Serving<'_> {
    /// Asks as this step does from now on.
    pub(in crate::gateway) fn take(&mut self, leg: Leg) {
        let Leg { planned, price, request, head, around, dropped, embeddings, attempts, limits, held, .. } = leg;
        self.planned = planned;
        self.price = price;
        self.request = request;
        self.client = Some(head);
        self.around = around;
        self.dropped = dropped;
        self.embeddings = embeddings;
        self.attempts = attempts;
        self.limits = Some(limits);
        self.held = held;
    }
}

/// From 1, as people count.
fn number(index: usize) -> u16 {
    u16::try_from(index.saturating_add(1)).unwrap_or(u16::MAX)
}
