//! Takes down what a client gets, for whoever wants to keep it.

use bytes::Bytes;

/// An answer's body as it goes out, up to a limit.
#[derive(Debug)]
pub(super) struct Recorder {
    pieces: Vec<Bytes>,
    bytes: usize,
    limit: usize,
    whole: bool,
}

impl Recorder {
    /// `limit`: bytes; a longer body is given up.
    pub(super) const fn new(limit: usize) -> Self {
        Self { pieces: Vec::new(), bytes: 0, limit, whole: false }
    }

    pub(super) fn add(&mut self, pieces: &[Bytes]) {
        for piece in pieces {
            self.bytes = self.bytes.saturating_add(piece.len());
            if self.bytes <= self.limit {
                self.pieces.push(piece.clone());
            } else {
                self.pieces = Vec::new();
            }
        }
    }

    /// Nothing is missing of what is there by now.
    pub(super) const fn is_whole(&mut self) {
        self.whole = true;
    }

    /// Forgets an answer that was not used after all.
    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// The body, in memory of its own; `None` when it was cut short or too long.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let fits = self.whole && self.bytes <= self.limit;
        let pieces = std::mem::take(&mut self.pieces);
        fits.then(|| pieces.concat().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: [Bytes; 2] = [Bytes::from_static(b"abc"), Bytes::from_static(b"de")];

    #[test]
    fn only_whole_answers_that_fit_are_kept() {
        let recorded = |limit, whole: bool| {
            let mut recorder = Recorder::new(limit);
            recorder.add(&PIECES);
            if whole {
                recorder.is_whole();
            }
            recorder.take()
        };
        assert_eq!(recorded(5, true).as_deref(), Some(&b"abcde"[..]));
        assert_eq!(recorded(4, true), None);
        assert_eq!(recorded(5, false), None);
    }

    #[test]
    fn a_withdrawn_answer_leaves_nothing_behind() {
        let mut recorder = Recorder::new(10);
        recorder.add(&PIECES);
        recorder.clear();
        recorder.add(&PIECES[1..]);
        recorder.is_whole();
        assert_eq!(recorder.take().as_deref(), Some(&b"de"[..]));
    }
}
