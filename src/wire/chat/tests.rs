//! What holds for all codecs alike.

mod hostile;
pub(super) mod round_trip;
