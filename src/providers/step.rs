//! What a step of a route asks of a provider, and under which name of the model it is billed.

use super::Call;
use crate::domain::Setting;
use crate::wire::chat::Format;

/// What a step of a route asks an upstream for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StepOperation {
    /// A conversation, which the client has in this form.
    Chat(Format),
    /// Vectors of texts in OpenAI's form. Who has a form of its own is asked by [`super::Provider::embeddings`].
    Embeddings,
}

impl Call {
    /// As a step of a route has it, in place of [`super::Provider::with_setting`]: the step's model is what must be
    /// allowed, is priced and recorded, whatever path or body call it, unless the setting has a price for that name.
    #[must_use]
    pub fn of_step(self, model: &str, setting: &Setting) -> Self {
        if *self.model == *model {
            return self;
        }
        let has_own_price = setting.cost_map.as_ref().is_some_and(|costs| costs.knows(&self.model));
        if has_own_price {
            Self { alias: model.into(), ..self }
        } else {
            Self { alias: self.model, model: model.into(), ..self }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{Billing, all};
    use bytes::Bytes;
    use http::Method;
    use std::collections::BTreeMap;

    #[test]
    fn steps_without_parameters_ask_as_everybody_does() {
        let none = BTreeMap::new();
        let speaks_openai = ["openai", "deepinfra", "vllm", "azure"];
        for provider in all() {
            let name = provider.name();
            let chat = provider.step(&none, StepOperation::Chat(Format::Anthropic), "m", true);
            assert_eq!(chat, provider.chat(Format::Anthropic, "m", true), "{name}");
            assert!(chat.is_some(), "{name}");
            let vectors = provider.step(&none, StepOperation::Embeddings, "m", false);
            assert_eq!(vectors.is_some(), speaks_openai.contains(&name), "{name}");
            if let Some(route) = vectors {
                let endpoint = provider.endpoint(&Method::POST, &route.path).expect(name);
                assert_eq!(endpoint.billing, Billing::Usage, "{name}");
                let body = provider.with_model(&endpoint, &Bytes::from_static(b"{\"n\":1.0}"), "m\"");
                assert_eq!(body.as_deref(), Some(&b"{\"n\":1.0,\"model\":\"m\\\"\"}"[..]), "{name}");
                assert_eq!(provider.with_model(&endpoint, &Bytes::from_static(b"[]"), "m"), None, "{name}");
            }
        }
    }
}
