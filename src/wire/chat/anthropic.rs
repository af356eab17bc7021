//! The messages API of Anthropic, as its clients and as its upstreams speak it.

mod answer;
mod content;
mod failure;
mod reading;
mod request;
mod stream_reader;
mod stream_writer;
mod usage;
mod write_content;
mod write_options;
mod write_request;
mod write_tools;

#[cfg(test)]
mod tests;

pub(super) use answer::{read_answer, write_answer};
pub use failure::anthropic_error;
pub(super) use failure::read_failure;
pub(super) use request::read_request;
pub(super) use stream_reader::Reader;
pub(super) use stream_writer::Writer;
pub(super) use write_request::write_request;
