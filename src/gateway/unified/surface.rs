//! The paths of the unified API.

use crate::providers::{Dialect, percent_decoded};
use crate::wire::chat::Format;
use http::Method;

/// What a path asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::gateway) enum Surface {
    /// An answer in a conversation, in the client's form of it.
    Talk(Format),
    Embeddings,
    Images,
    /// The models that the key may use.
    Models,
    /// One of them.
    Model(Box<str>),
    WrongMethod {
        allow: &'static str,
    },
    Unknown,
}

/// `None` when the path is not below `/v1`.
pub(in crate::gateway) fn of(method: &Method, path: &str) -> Option<Surface> {
    let rest = path.strip_prefix("/v1/")?;
    let by = |wanted: &Method, allow, surface| {
        if method == wanted { surface } else { Surface::WrongMethod { allow } }
    };
    let post = |surface| by(&Method::POST, "POST", surface);
    let get = |surface| by(&Method::GET, "GET", surface);
    Some(match rest {
        "chat/completions" => post(Surface::Talk(Format::OpenAiChat)),
        "messages" => post(Surface::Talk(Format::Anthropic)),
        "responses" => post(Surface::Talk(Format::OpenAiResponses)),
        "completions" => post(Surface::Talk(Format::OpenAiCompletions)),
        "embeddings" => post(Surface::Embeddings),
        "images/generations" => post(Surface::Images),
        "models" => get(Surface::Models),
        _ => match rest.strip_prefix("models/").and_then(percent_decoded).filter(|name| !name.is_empty()) {
            Some(name) => get(Surface::Model(name.into())),
            None => Surface::Unknown,
        },
    })
}

impl Surface {
    /// The shape of errors on this path.
    pub(in crate::gateway) const fn dialect(&self) -> Dialect {
        match self {
            Self::Talk(Format::Anthropic) => Dialect::Anthropic,
            _ => Dialect::Unified,
        }
    }
    /// The form of conversations on this path.
    pub(in crate::gateway) const fn form(&self) -> Option<Format> {
        if let Self::Talk(format) = self { Some(*format) } else { None }
    }
    /// Label of bounded cardinality.
    pub(in crate::gateway) const fn template(&self) -> &'static str {
        match self {
            Self::Talk(Format::Anthropic) => "/v1/messages",
            Self::Talk(Format::OpenAiResponses) => "/v1/responses",
            Self::Talk(Format::OpenAiCompletions) => "/v1/completions",
            Self::Talk(_) => "/v1/chat/completions",
            Self::Embeddings => "/v1/embeddings",
            Self::Images => "/v1/images/generations",
            Self::Models => "/v1/models",
            Self::Model(_) => "/v1/models/{model}",
            Self::WrongMethod { .. } | Self::Unknown => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_they_are_written() {
        for (method, path, expect) in [
            (Method::POST, "/v1/chat/completions", Some(Surface::Talk(Format::OpenAiChat))),
            (Method::GET, "/v1/chat/completions", Some(Surface::WrongMethod { allow: "POST" })),
            (Method::POST, "/v1/messages", Some(Surface::Talk(Format::Anthropic))),
            (Method::GET, "/v1/models", Some(Surface::Models)),
            (Method::GET, "/v1/models/a%2Fb", Some(Surface::Model("a/b".into()))),
            (Method::GET, "/v1/models/a/b", Some(Surface::Model("a/b".into()))),
            (Method::GET, "/v1/models/%zz", Some(Surface::Unknown)),
            (Method::POST, "/v1/nothing", Some(Surface::Unknown)),
            (Method::POST, "/V1/chat/completions", None),
            (Method::POST, "/api/v1/chat/completions", None),
        ] {
            assert_eq!(of(&method, path), expect, "{method} {path}");
        }
    }
}
