//! Of an answer that fails before the client has seen any of it, nothing is sent where another try could be made.

use super::{Delivered, Delivery, LAST_WORD, Next, Relay, Relayed, Unsent, Withdrawn};
use crate::gateway::refuse::GatewayError;
use crate::providers::{Ending, Progress};
use crate::routing::Failure;
use crate::wire::chat::Opened;
use bytes::Bytes;

/// What was taken before a stream's head was sent.
pub(super) enum HeldBack {
    Output { progress: Progress, done: bool },
    ClientGone,
}

impl Relay<'_> {
    /// Takes pieces until there is something that the client would call an answer; what is before it is held back.
    ///
    /// # Errors
    /// The stream ended before, or told of an error: nothing is out.
    pub(super) async fn until_output(&mut self, event_stream: bool) -> Result<HeldBack, Failure> {
        loop {
            let (piece, done) = match self.next().await {
                Next::Piece(piece, done) => (piece, done),
                Next::End => (Bytes::new(), true),
                Next::ClientGone => return Ok(HeldBack::ClientGone),
                Next::Broken => return Err(Failure::Truncated),
                Next::TimedOut => return Err(Failure::Timeout),
            };
            let seen = self.out.len();
            let progress = if piece.is_empty() { Progress::More } else { self.take(piece) };
            let output = HeldBack::Output { progress, done };
            let Some(opening) = self.spare.as_mut().filter(|_| event_stream) else { return Ok(output) };
            let fresh = self.out.get(seen..).unwrap_or_default();
            let opened = fresh.iter().map(|piece| opening.push(piece)).find(|opened| *opened != Opened::NotYet);
            match opened {
                Some(Opened::Failed) => return Err(Failure::Truncated),
                Some(_) => return Ok(output),
                None if done || progress != Progress::More => {
                    // What ends without a word has not answered.
                    return if opening.end() == Opened::Output { Ok(output) } else { Err(Failure::Truncated) };
                }
                None => {}
            }
        }
    }

    /// The upstream failed before anything was sent.
    pub(super) async fn unsent(&mut self, unsent: Unsent) -> Result<Delivered, Failure> {
        let (failure, status) = match unsent {
            Unsent::Broken => (Failure::Broken, GatewayError::Upstream.status()),
            Unsent::TimedOut => (Failure::Timeout, GatewayError::Timeout.status()),
        };
        if self.spare.is_some() {
            return Err(failure);
        }
        Ok(self.aborted(Delivery::Unsent(unsent), status, None).await)
    }

    /// Gives the booking back for another try. The connection is closed: what is still to come is for nobody.
    pub(super) async fn withdrawn(mut self, failure: Failure) -> Relayed {
        let _closed = tokio::time::timeout(LAST_WORD, self.upstream.shutdown()).await.is_ok();
        let reading = self.meter.reading(Ending::Aborted);
        match self.booking.take() {
            Some(booking) => Relayed::Withdrawn(Withdrawn { booking, failure, reading }),
            // Booked already: then something was out.
            None => Relayed::Delivered(self.aborted(Delivery::Cut, self.status, None).await),
        }
    }
}
