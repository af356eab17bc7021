//! Who is calling: from a raw key to its digest and its place in the snapshot.

pub mod credential;
pub mod digest;
pub mod origins;
pub mod paths;
pub mod shared;
