//! The openai codec. In the making: nothing can be read or written yet.

use super::{
    Answer, Asked, BadRequest, Event, Failure, FailureKind, Request, StreamReader, StreamWriter, Target, Unreadable,
    Written,
};
use bytes::Bytes;

fn unfinished() -> BadRequest {
    BadRequest { message: "This form is not spoken yet.".into(), param: None, code: None }
}

pub(super) fn read_request(_body: &[u8]) -> Result<Request, BadRequest> {
    Err(unfinished())
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

pub(super) fn write_answer(_answer: &Answer, _asked: &Asked) -> Vec<u8> {
    Vec::new()
}

#[derive(Debug)]
pub(super) struct Writer;

impl Writer {
    pub(super) fn new(_asked: Asked) -> Self {
        Self
    }
}

impl StreamWriter for Writer {
    fn write(&mut self, _event: Event, _out: &mut Vec<u8>) {}
}

pub(super) fn read_failure(status: u16, _body: &[u8]) -> Failure {
    Failure { kind: FailureKind::of_status(status), message: String::new(), code: None }
}
