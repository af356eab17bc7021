//! An answer that passes byte for byte, at once, while a thin copy of it is read: pictures and sound in base64 make
//! lines of megabytes, and nothing of the bill stands in them.

use super::account::Account;
use super::error_frame;
use crate::domain::Usage;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_thin::Thinner;
use crate::wire::recording::Recording;
use crate::wire::sse::{Frame, Framer};
use bytes::Bytes;

/// Bytes of a thin answer that are kept; a transcript of many hours has fewer.
const KEEP: usize = 8 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct Watch {
    account: Account,
    view: View,
    done: bool,
}

/// What the answer is.
#[derive(Debug)]
enum View {
    Json {
        thinner: Thinner,
        text: Vec<u8>,
    },
    Events {
        thinner: Thinner,
        framer: Framer,
    },
    Sound(Recording),
    /// Text, or anything else.
    Other {
        bytes: u64,
    },
}

impl Watch {
    pub(super) fn new(account: Account, is_events: bool, media_type: &str) -> Self {
        let is = |wanted: &str| media_type.eq_ignore_ascii_case(wanted);
        let view = if is_events {
            View::Events { thinner: Thinner::default(), framer: Framer::default() }
        } else if is("application/json") {
            View::Json { thinner: Thinner::default(), text: Vec::new() }
        } else if media_type.get(..6).is_some_and(|family| family.eq_ignore_ascii_case("audio/")) {
            View::Sound(Recording::default())
        } else {
            View::Other { bytes: 0 }
        };
        Self { account, view, done: false }
    }
}

impl ResponseMeter for Watch {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        let was_done = self.done;
        match &mut self.view {
            View::Json { thinner, text } => {
                if text.len() < KEEP {
                    thinner.push(&piece, text);
                }
            }
            View::Events { thinner, framer } => {
                let mut thin = Vec::new();
                thinner.push(&piece, &mut thin);
                let account = &mut self.account;
                framer.push(&Bytes::from(thin), |frame| account.frame(&frame));
                self.done = self.account.is_done();
            }
            View::Sound(recording) => recording.push(&piece),
            View::Other { bytes } => *bytes = bytes.saturating_add(piece.len() as u64),
        }
        out.push(piece);
        if self.done && !was_done { Progress::Complete } else { Progress::More }
    }

    fn end(&mut self, _out: &mut Vec<Bytes>) {
        if let View::Events { framer, .. } = &mut self.view
            && let Some(frame) = framer.finish()
        {
            self.account.frame(&frame);
        }
    }

    fn reading(&mut self, ending: Ending) -> Reading {
        let aborted = ending == Ending::Aborted;
        match &self.view {
            View::Json { text, .. } => self.account.json(text, aborted),
            View::Events { .. } => self.account.events(),
            View::Sound(recording) => self.account.sound(recording, aborted),
            View::Other { bytes } => self.account.text(*bytes, aborted),
        }
    }

    fn also(&mut self) -> Vec<(Box<str>, Usage)> {
        self.account.also()
    }

    fn broken_tail(&self, message: &str) -> Option<Bytes> {
        // What was begun is ended first: where in an event the cut is, the client knows no more than we do.
        let tail = || Bytes::from([b"\n\nevent: error\n", &*error_frame(message)].concat());
        (self.is_stream() && !self.done).then(tail)
    }

    fn is_stream(&self) -> bool {
        matches!(self.view, View::Events { .. })
    }
}

/// The data of an event and its name, for whoever reads it.
pub(super) fn of_frame(frame: &Frame) -> Option<(Vec<u8>, Vec<u8>)> {
    let Frame::Event(event) = frame else { return None };
    let data = event.data_bytes()?;
    Some((event.name().unwrap_or_default().to_vec(), data.into_owned()))
}
