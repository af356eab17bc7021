//! Rows that answer out of a knowledge base with another row's model: what is found is put before the question, and the
//! other row serves it. Only that row is billed. The caller is admitted with passages of the greatest length first, so
//! that whoever is refused looks nothing up and no passage is dearer than what was set aside.

use super::super::Gateway;
use super::super::arrival::Arrival;
use super::super::forward::Patience;
use super::super::refuse::GatewayError;
use super::attempts::Attempts;
use super::error::UnifiedError;
use super::resolve::Resolved;
use super::several::{Asker, Failed};
use crate::domain::{Key, Setting};
use crate::providers::backend::{Answerer, Misconfigured};
use crate::providers::{Call, Endpoint, Handle};
use crate::snapshot::{ServedModel, Snapshot};
use crate::wire::chat::{self, Citation, Format, Request, Target, knowledge};
use bytes::Bytes;
use pingora::http::RequestHeader;
use pingora::proxy::Session;
use std::sync::Arc;

/// Rows that may stand before the one that answers.
const DEEPEST: usize = 3;

/// A row as it was asked for, and the one that answers in the end.
pub(super) struct Unwrapped {
    pub(super) answers: Resolved,
    /// Rows whose knowledge is looked up first, from outside in.
    pub(super) bases: Vec<Arc<ServedModel>>,
}

/// Follows rows that answer with another one. The caller needs all of them.
pub(super) fn unwrap(snapshot: &Snapshot, key: &Key, resolved: Resolved) -> Result<Unwrapped, UnifiedError> {
    let models = snapshot.models();
    let (mut answers, mut bases) = (resolved, Vec::new());
    loop {
        let next = match &answers {
            Resolved::Row { served, .. } => answerer(served).map(|name| (Arc::clone(served), name)),
            Resolved::Own { .. } => None,
        };
        let Some((served, name)) = next else {
            let is_base = matches!(&answers, Resolved::Row { served, .. } if is_base(served));
            // A base that answers by itself takes a question, not the passages of another.
            return if is_base && !bases.is_empty() { Err(misled()) } else { Ok(Unwrapped { answers, bases }) };
        };
        if bases.len() >= DEEPEST {
            return Err(misled());
        }
        bases.push(served);
        let inner = models.named(&name).ok_or_else(misled)?;
        if !models.are_granted(key, inner.row.id) {
            return Err(UnifiedError::NotGranted(inner.row.name.clone()));
        }
        let model = inner.backend.as_ref().map_or("", |backend| &*backend.model).into();
        answers = Resolved::Row { served: Arc::clone(inner), model };
    }
}

fn is_base(served: &ServedModel) -> bool {
    served.backend.as_ref().is_ok_and(|backend| backend.knowledge.is_some())
}

/// The row that answers for this one.
fn answerer(served: &ServedModel) -> Option<Box<str>> {
    match &served.backend.as_ref().ok()?.knowledge.as_ref()?.answerer {
        Answerer::Model(name) => Some(name.clone()),
        Answerer::Arn(_) => None,
    }
}

/// The operator's rows lead nowhere, or in a circle.
fn misled() -> UnifiedError {
    UnifiedError::Misconfigured(Misconfigured::Provider.to_string())
}

/// One knowledge base to look into.
pub(super) struct Base {
    pub(super) provider: Handle,
    pub(super) endpoint: Endpoint,
    pub(super) setting: Arc<Setting>,
    pub(super) attempts: Attempts,
}

/// A question that waits for its passages.
pub(super) struct Grounding {
    pub(super) bases: Vec<Base>,
    pub(super) question: String,
    /// As the client asked it.
    pub(super) request: Request,
    pub(super) format: Format,
    pub(super) target: Target,
}

/// With passages of the greatest length: what the question is admitted with.
pub(super) fn at_most(request: &Request, bases: usize) -> Result<Request, chat::BadRequest> {
    let passages: Vec<_> = std::iter::repeat_with(knowledge::stand_ins).take(bases).flatten().collect();
    knowledge::ground(request, &passages)
}

/// A question with its passages, ready to be sent.
pub(super) struct Grounded {
    pub(super) body: Bytes,
    pub(super) sources: Vec<Citation>,
}

impl Grounding {
    /// Looks into every base.
    pub(super) async fn ground(
        &self,
        g: &Gateway,
        arrival: &Arrival,
        head: &RequestHeader,
        patience: Patience,
        session: &mut Session,
    ) -> Result<Grounded, Failed> {
        let unreadable = || Failed::Gateway(GatewayError::Upstream);
        let body = [Bytes::from(knowledge::find(&self.question))];
        let call = Call { choices: 1, ..Call::default() };
        let mut passages = Vec::new();
        for Base { provider, endpoint, setting, attempts } in &self.bases {
            let asker = Asker { g, arrival, provider, endpoint, call: &call, setting, attempts, head, patience };
            for answer in asker.ask_all(&body, session).await.outcome? {
                passages.extend(knowledge::found(&answer).map_err(|_| unreadable())?);
            }
        }
        let asked = knowledge::ground(&self.request, &passages).map_err(|_| unreadable())?;
        let written = chat::write_request(self.format, &asked, &self.target).map_err(|_| unreadable())?;
        Ok(Grounded { body: written.body.into(), sources: passages.iter().map(Citation::from).collect() })
    }
}
