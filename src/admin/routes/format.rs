//! What a route takes, conversations or texts that become vectors: what its steps can answer, all of them alike.

use super::upstreams::{Upstream, Upstreams};
use crate::admin::AdminState;
use crate::admin::fields::Invalid;
use crate::domain::{RequestFormat, Step};
use crate::providers::backend::{Backend, UseCase};
use crate::providers::{Provider, purpose};

/// What is wrong with a step, as the end of a sentence about its model.
const NOT_CHAT: &str = "is an embedding model, and the route takes conversations";
const NOT_EMBEDDINGS: &str = "is not an embedding model, and the route takes embeddings";
const NO_CHAT: &str = "cannot be asked for conversations by its provider";
const NO_EMBEDDINGS: &str = "cannot be asked for embeddings by its provider";

/// What is known of all steps of a route together.
pub(super) struct Formats<'a> {
    state: &'a AdminState,
    upstreams: &'a Upstreams,
    /// What somebody said the route takes: it wins over what a mere name suggests.
    said: Option<RequestFormat>,
}

impl<'a> Formats<'a> {
    pub(super) fn new(state: &'a AdminState, upstreams: &'a Upstreams, said: Option<RequestFormat>) -> Self {
        Self { state, upstreams, said }
    }

    /// What the route takes. `otherwise`: when nobody said it and no step tells.
    pub(super) fn of(&self, steps: &[Step], otherwise: RequestFormat, invalid: &mut Invalid) -> RequestFormat {
        let known: Vec<_> = steps.iter().map(|step| self.known(step)).collect();
        let format = self.said.or_else(|| known.iter().flatten().next().copied()).unwrap_or(otherwise);
        for (n, (step, known)) in steps.iter().zip(known).enumerate() {
            let field = format!("steps[{n}].model");
            match (format, known) {
                (RequestFormat::Chat, Some(RequestFormat::Embeddings)) => invalid.add(&field, NOT_CHAT),
                (RequestFormat::Embeddings, Some(RequestFormat::Chat)) => invalid.add(&field, NOT_EMBEDDINGS),
                (RequestFormat::Chat, _) if !self.serves(step, format) => invalid.add(&field, NO_CHAT),
                (RequestFormat::Embeddings, _) if !self.serves(step, format) => invalid.add(&field, NO_EMBEDDINGS),
                _ => {}
            }
            if format == RequestFormat::Embeddings && !step.request_params.is_empty() {
                invalid.add(&format!("steps[{n}].requestParams"), "must be empty: they are for conversations");
            }
        }
        format
    }

    /// What the step's model is for, as far as it is known.
    fn known(&self, step: &Step) -> Option<RequestFormat> {
        match self.upstreams.get(&step.provider, &step.model)? {
            Upstream::Provider { handle, .. } => self.by_model(handle.as_ref(), &step.model),
            Upstream::Row(row) => match Backend::of(row).ok()? {
                backend if backend.use_case == UseCase::Embeddings => Some(RequestFormat::Embeddings),
                backend => self.by_model(backend.provider.as_ref(), &backend.model),
            },
        }
    }

    fn by_model(&self, provider: &dyn Provider, model: &str) -> Option<RequestFormat> {
        let listed = purpose::listed(&self.state.pricing, provider, model, self.state.clock.now());
        let guessed = || if self.said.is_some() { None } else { purpose::guessed(model) };
        listed.or_else(guessed)
    }

    /// What is not there is not judged: that was told already, or is gone since.
    fn serves(&self, step: &Step, format: RequestFormat) -> bool {
        match self.upstreams.get(&step.provider, &step.model) {
            None | Some(Upstream::Provider { custom: true, .. }) => true,
            Some(Upstream::Provider { handle, .. }) => {
                purpose::serves(handle.as_ref(), format, &step.model, &step.model)
            }
            Some(Upstream::Row(row)) => Backend::of(row).is_ok_and(|backend| {
                let known = if backend.base_model.is_empty() { &backend.model } else { &backend.base_model };
                purpose::serves(backend.provider.as_ref(), format, &backend.model, known)
            }),
        }
    }
}
