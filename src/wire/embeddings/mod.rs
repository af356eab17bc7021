//! Vectors of texts: OpenAI's form of asking for them, and the forms of those who have one of their own. Pure, like
//! `chat`: bytes in, bytes out.
//!
//! `request` reads what a client asks for, `write` says it to an upstream, in as many calls as that takes, `answer`
//! reads vectors and writes the client's list.

mod answer;
mod request;
mod write;

#[cfg(test)]
mod tests;

pub use answer::{read_vectors, write_answer};
pub use request::{MOST_INPUTS, Request, read_request};
pub use write::{Target, Written, write_request};

/// How an upstream is asked for vectors, where that is not OpenAI's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One text in a call.
    Titan,
    /// Up to 96 texts in a call.
    Cohere,
    /// All texts in a call.
    Ollama,
    /// Up to 100 texts in a call.
    Gemini,
}
