//! Ollama's `/api/chat`: how requests are written, and how answers, whole or in lines of JSON, are read.
//!
//! A call of a tool has no id there: one is made of the answer's time and the call's place in it, so that the calls of
//! one conversation differ. Results go back by the tool's name.

mod answer;
mod request;
#[cfg(test)]
mod tests;

pub(super) use answer::{Reader, read_answer};
pub(super) use request::write_request;
