//! What a reasoning item carries so that it can come back as the thinking it was. Not secret, in spite of the member's
//! name: the text is in the item anyway, and whether the proof fits is for the model's provider to say.

use super::super::Part;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What tells ours from everybody else's.
const MARK: &str = "tollgate1.";

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Sealed<'a> {
    Thinking {
        /// The proof is of these very words; clients may shorten those in the summary.
        thinking: Cow<'a, str>,
        signature: Cow<'a, str>,
    },
    Redacted {
        redacted: Cow<'a, str>,
    },
}

pub(super) fn thinking(thinking: &str, signature: &str) -> String {
    seal(&Sealed::Thinking { thinking: thinking.into(), signature: signature.into() })
}

pub(super) fn redacted(data: &str) -> String {
    seal(&Sealed::Redacted { redacted: data.into() })
}

fn seal(what: &Sealed<'_>) -> String {
    let mut sealed = MARK.to_owned();
    BASE64.encode_string(serde_json::to_vec(what).unwrap_or_default(), &mut sealed);
    sealed
}

/// `None`: not made here.
pub(super) fn open(content: &str) -> Option<Part> {
    let bytes = BASE64.decode(content.strip_prefix(MARK)?).ok()?;
    Some(match serde_json::from_slice(&bytes).ok()? {
        Sealed::Thinking { thinking, signature } => {
            Part::Thinking { text: thinking.into_owned(), signature: Some(signature.into_owned()) }
        }
        Sealed::Redacted { redacted } => Part::RedactedThinking(redacted.into_owned()),
    })
}
