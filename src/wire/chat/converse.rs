//! The form of Bedrock's Converse: requests, answers, binary streams and exceptions, each read and written.
//!
//! The model stands in the path and not in the body, so a request that was read names none. Content is a list of
//! blocks, each an object of exactly one member. Streams are messages of [`crate::wire::event_stream`].

mod answer;
mod block;
mod document;
pub(super) mod failure;
mod field;
mod read_blocks;
mod read_request;
mod stream_reader;
mod stream_writer;
mod write_cache;
mod write_fields;
mod write_request;
mod write_tools;
mod write_turns;

pub use failure::aws_error;

pub(super) use answer::{read_answer, write_answer};
pub(super) use failure::read_failure;
pub(super) use read_request::read_request;
pub(super) use stream_reader::Reader;
pub(super) use stream_writer::Writer;
pub(super) use write_request::write_request;

#[cfg(test)]
mod tests;
