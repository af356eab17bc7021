//! OpenAI's responses, as clients ask and are answered: requests are read, answers are written. Nothing is stored, so
//! what refers to stored things is refused.
//!
//! Thinking goes out as reasoning items. What proves it lies in their `encrypted_content`, in a form of our own
//! (`sealed`), so that a client that sends its items back keeps it.

mod content;
mod echo;
mod input;
mod items;
mod line;
mod object;
mod request;
mod sealed;
mod stream;
mod tools;

pub(super) use echo::echo;
pub(super) use request::read_request;
pub(super) use stream::{Writer, write_answer};

#[cfg(test)]
mod tests;
