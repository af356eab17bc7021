//! Answers out of a knowledge base: of a service that looks passages up and answers by itself, and of any other model
//! that is given the passages. Only the last question is asked; a conversation lives in the session that the service
//! keeps, whose id goes back and forth.

mod ground;
mod read;
mod request;
#[cfg(test)]
mod tests;

pub use ground::{MOST_PASSAGES_BYTES, Passage, find, found, ground, stand_ins};
pub use request::{Knowledge, is_session, question};

pub(super) use read::{Reader, read_answer};
pub(super) use request::write_request;

pub use read::session;

use super::Citation;
use std::fmt::Write as _;

/// What stands under an answer: each source once, after a rule. `None` when there are none.
pub fn sources<'a>(cited: impl IntoIterator<Item = &'a Citation>) -> Option<String> {
    let mut listed: Vec<&str> = Vec::new();
    for citation in cited {
        if !citation.url.is_empty() && !listed.contains(&citation.url.as_str()) {
            listed.push(&citation.url);
        }
    }
    if listed.is_empty() {
        return None;
    }
    let mut text = String::from("\n\n---\n");
    for (number, url) in (1..).zip(listed) {
        // Writing into a string cannot fail.
        let _ = write!(text, "\n{number}. {url}");
    }
    Some(text)
}
