//! `tollgate import`: the name is kept for taking over other products' data, and says so.

use super::{Exit, Surroundings};

pub(super) fn run(surroundings: &mut Surroundings<'_>) -> Exit {
    surroundings.complain("import is not available yet");
    Exit::Misused
}
