//! A stream that goes on as the messages that it consists of, each one whole and with its checksums verified.

use super::story::Story;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::event_stream::{Framer, Value, encode};
use bytes::Bytes;

/// What an AWS client raises when the model's stream broke.
const BROKEN: &str = "modelStreamErrorException";

#[derive(Debug)]
pub(super) struct Frames {
    framer: Framer,
    story: Story,
}

impl Frames {
    pub(super) fn new(story: Story) -> Self {
        Self { framer: Framer::default(), story }
    }
}

impl ResponseMeter for Frames {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let was_over = self.story.is_over();
        let story = &mut self.story;
        let followed = self.framer.push(&piece, |message| {
            story.take(&message);
            out.push(message.into_raw());
        });
        // A damaged message is not passed on: its client would only see that something is wrong, not what.
        if followed.is_err() && !self.story.is_over() {
            out.extend(exception("the provider's stream was damaged on its way"));
            self.story.fail();
        }
        if self.story.is_over() && !was_over { Progress::Complete } else { Progress::More }
    }

    fn end(&mut self, _out: &mut Vec<Bytes>) {}

    fn reading(&mut self, ending: Ending) -> Reading {
        self.story.reading(ending, self.framer.is_unfinished())
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        if self.story.is_over() { None } else { exception(message) }
    }

    fn is_stream(&self) -> bool {
        true
    }
}

fn exception(message: &str) -> Option<Bytes> {
    let headers = [(":exception-type", BROKEN), (":content-type", "application/json"), (":message-type", "exception")];
    let headers = headers.map(|(name, text)| (name, Value::Text(text)));
    encode(&headers, serde_json::json!({ "message": message }).to_string().as_bytes())
}
