//! Reads a stream: server-sent events, each a piece of the answer, without a word for the end.

use super::super::StreamReader;
use super::super::answer::Event;
use super::super::parsed::object;
use super::answer::Story;
use crate::wire::sse::{Frame, Framer};
use bytes::Bytes;

#[derive(Debug, Default)]
pub(in super::super) struct Reader {
    framer: Framer,
    story: Story,
}

impl StreamReader for Reader {
    fn push(&mut self, piece: &Bytes, out: &mut Vec<Event>) {
        let story = &mut self.story;
        self.framer.push(piece, |frame| read(&frame, story, out));
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if let Some(frame) = self.framer.finish() {
            read(&frame, &mut self.story, out);
        }
        self.story.end(out);
    }
}

/// An event over the limit is left out, and so is what is no piece of an answer.
fn read(frame: &Frame, story: &mut Story, out: &mut Vec<Event>) {
    if let Frame::Event(event) = frame
        && let Some(data) = event.data_bytes()
        && let Some(chunk) = object(&data)
    {
        story.chunk(chunk, out);
    }
}
