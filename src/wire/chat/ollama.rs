//! The ollama codec. In the making: nothing can be read or written yet.

use super::{
    Answer, Asked, BadRequest, Event, Failure, FailureKind, Request, StreamReader, StreamWriter, Target, Unreadable,
    Written,
};
use bytes::Bytes;

fn unfinished() -> BadRequest {
    BadRequest { message: "This form is not spoken yet.".into(), param: None, code: None }
}

pub(super) fn write_request(_request: &Request, _target: &Target) -> Result<Written, BadRequest> {
    Err(unfinished())
}

pub(super) fn read_answer(_body: &[u8]) -> Result<Answer, Unreadable> {
    Err(Unreadable)
}

#[derive(Debug, Default)]
pub(super) struct Reader;

impl StreamReader for Reader {
    fn push(&mut self, _piece: &Bytes, _out: &mut Vec<Event>) {}
    fn end(&mut self, _out: &mut Vec<Event>) {}
}
