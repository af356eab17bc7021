//! Cache points: those that the client marked, and those that the operator's settings add to them.

use super::block::{Block, CachePoint};
use crate::wire::chat::request::{CacheMark, Part, Request};
use crate::wire::chat::target::{Family, Target};

/// The most that a request may carry.
const POINTS: usize = 4;

/// Which cache points are written.
#[derive(Debug)]
pub(super) struct Cache {
    /// Models that do not cache refuse marks; which do is known of these families. The operator's own points are
    /// written for any model.
    marks: bool,
    ttl: bool,
    /// How many the operator's settings may still add to the client's.
    spare: usize,
    lost: bool,
}

impl Cache {
    pub(super) fn of(request: &Request, target: &Target) -> Self {
        let marks = matches!(target.family, Family::Claude | Family::Nova);
        let asked = if marks { count(request) } else { 0 };
        let spare = POINTS.saturating_sub(asked);
        Self { marks, ttl: target.family == Family::Claude, spare, lost: false }
    }

    /// Some mark of the client's was not written.
    pub(super) const fn lost(&self) -> bool {
        self.lost
    }

    /// The client's own mark.
    pub(super) fn mark<'a>(&mut self, mark: Option<&'a CacheMark>) -> Option<CachePoint<'a>> {
        let mark = mark?;
        self.lost |= !self.marks;
        let ttl = mark.ttl.as_deref().filter(|_| self.ttl);
        self.marks.then(|| CachePoint::new(ttl))
    }

    /// One that the settings ask for.
    pub(super) fn point(&mut self) -> Option<CachePoint<'static>> {
        self.spare = self.spare.checked_sub(1)?;
        Some(CachePoint::new(None))
    }

    /// At the end of `blocks`, where there is none yet.
    pub(super) fn close(&mut self, blocks: &mut Vec<Block<'_>>) {
        if blocks.last().is_some_and(|last| !last.is_cache_point()) {
            blocks.extend(self.point().map(Block::CachePoint));
        }
    }
}

/// How many pieces of the request carry a mark.
fn count(request: &Request) -> usize {
    let system = request.system.iter().filter(|text| text.cache.is_some()).count();
    let tools = request.tools.iter().filter(|tool| tool.cache.is_some()).count();
    let parts = request.messages.iter().flat_map(|message| &message.parts).filter(|part| mark_of(part).is_some());
    system.saturating_add(tools).saturating_add(parts.count())
}

/// The mark of a part. Within a result there is no place for one: it goes behind the result.
pub(super) fn mark_of(part: &Part) -> Option<&CacheMark> {
    match part {
        Part::ToolResult { parts, cache, .. } => cache.as_ref().or_else(|| parts.iter().rev().find_map(mark_of)),
        Part::Text { cache, .. } | Part::Image { cache, .. } | Part::Document { cache, .. } => cache.as_ref(),
        Part::ToolCall(call) => call.cache.as_ref(),
        Part::Audio { .. } | Part::Thinking { .. } | Part::RedactedThinking(_) => None,
    }
}
