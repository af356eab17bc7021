//! Gemini's `generateContent`: how requests are written, and how answers, whole or in server-sent events, are read. The
//! model and the wish for a stream stand in the path of a request, not in its body.
//!
//! Models prove their thinking by signatures on calls of tools and on thoughts, and newer ones refuse a call that comes
//! back without its own. The signature of a call travels in its id, that of a thought as the signature of the thinking;
//! `signature` has both ways.

mod answer;
mod failure;
mod reader;
mod request;
mod signature;
#[cfg(test)]
mod tests;
mod turns;

pub(super) use answer::read_answer;
pub(super) use failure::read_failure;
pub(super) use reader::Reader;
pub(super) use request::write_request;
pub(super) use signature::is_own_proof;
