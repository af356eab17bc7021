//! OpenAI's chat completions, and everybody's who copied them.
//!
//! | Folder | What it is |
//! |---|---|
//! | `request`, `messages`, `parts`, `tools` | what a client asks, read |
//! | `write_request`, `write_messages` | the same for an upstream |
//! | `answer` | whole answers, both ways |
//! | `stream_reader`, `stream_writer` | streamed ones |
//! | `failure` | errors, both ways |
//! | `usage`, `stop` | the words that several of them need |
//! | `json` | how JSON is read here: clients are told where they went wrong, upstreams are forgiven |

mod answer;
mod failure;
mod json;
mod messages;
mod parts;
mod request;
mod stop;
mod stream_reader;
mod stream_writer;
mod tools;
mod usage;
mod write_messages;
mod write_request;

pub(super) use answer::{answer_id, read_answer, write_answer};
pub use failure::openai_error;
pub(super) use failure::read_failure;
pub(super) use request::read_request;
pub(super) use stream_reader::Reader;
pub(super) use stream_writer::Writer;
pub(super) use usage::{Usage, write as write_usage};
pub(super) use write_request::write_request;

#[cfg(test)]
mod tests;
