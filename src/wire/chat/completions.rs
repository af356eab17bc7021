//! OpenAI's text completions, the form before there were conversations: a prompt becomes a user's message, the text of
//! the answer its completion. For clients only.

mod read;
mod write;

pub(super) use read::read_completion;
pub(super) use write::{CompletionWriter, write_completion};

#[cfg(test)]
mod tests;
