//! What every provider's meter must hold to: however a body is cut, wherever it breaks, whatever is in it.

use super::{Ending, Progress, Reading, ResponseMeter};
use crate::domain::Usage;
use bytes::Bytes;

/// What came of a response.
#[derive(PartialEq, Debug)]
pub(super) struct Outcome {
    pub(super) put_out: Vec<u8>,
    /// All that was put out when the end was announced.
    pub(super) completed_with: Option<Vec<u8>>,
    pub(super) reading: Reading,
    /// Of other models.
    pub(super) also: Vec<(Box<str>, Usage)>,
    pub(super) tail: Option<Bytes>,
}

/// Sends a body through a meter, cut at these positions (ascending).
pub(super) fn run(mut meter: Box<dyn ResponseMeter>, body: &[u8], cuts: &[usize], ending: Ending) -> Outcome {
    let mut out = Vec::new();
    let mut completed_with = None;
    let mut from = 0;
    for to in cuts.iter().copied().chain([body.len()]) {
        let to = to.clamp(from, body.len());
        if meter.push(Bytes::copy_from_slice(&body[from..to]), &mut out) == Progress::Complete {
            assert!(completed_with.is_none(), "complete only once");
            completed_with = Some(out.concat());
        }
        from = to;
    }
    if ending == Ending::Complete {
        meter.end(&mut out);
    }
    let reading = meter.reading(ending);
    let also = meter.also();
    Outcome { put_out: out.concat(), completed_with, reading, also, tail: meter.broken_tail("lost") }
}

/// One cut at every byte, and a cut at all of them at once, change nothing.
pub(super) fn any_chunking_is_the_same(meter: impl Fn() -> Box<dyn ResponseMeter>, body: &[u8]) {
    let whole = run(meter(), body, &[], Ending::Complete);
    for at in 0..=body.len() {
        assert_eq!(run(meter(), body, &[at], Ending::Complete), whole, "cut at {at}");
    }
    let every: Vec<_> = (0..body.len()).collect();
    assert_eq!(run(meter(), body, &every, Ending::Complete), whole, "byte by byte");
}

/// A stream that ends at any byte has put out a beginning of the whole one, and is known for truncated exactly as long
/// as its terminal marker was not put out.
pub(super) fn any_break_is_noticed(meter: impl Fn() -> Box<dyn ResponseMeter>, body: &[u8]) {
    let whole = run(meter(), body, &[], Ending::Complete);
    for at in 0..body.len() {
        let cut = run(meter(), &body[..at], &[at / 2], Ending::Aborted);
        assert!(whole.put_out.starts_with(&cut.put_out), "break at {at}");
        assert_eq!(cut.reading.truncated, cut.completed_with.is_none(), "break at {at}");
        assert_eq!(cut.tail.is_some(), cut.completed_with.is_none(), "break at {at}");
    }
}

/// Bytes that mean nothing pass as they are.
pub(super) fn noise_passes(meter: Box<dyn ResponseMeter>, noise: &[u8], chunk: usize) {
    let cuts: Vec<_> = (0..noise.len()).step_by(chunk.max(1)).collect();
    assert_eq!(run(meter, noise, &cuts, Ending::Complete).put_out, noise);
}
