//! What holds for all codecs alike.

mod hostile;
mod round_trip;
