//! What an import found and did: a table of counts, then why rows were left out, by table and id.

use std::collections::BTreeMap;
use std::fmt;

/// Lines of one kind that are kept; the rest is counted.
const LINES: usize = 200;

/// What became of one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    New,
    Updated,
    /// It is here already, as the source has it.
    Equal,
    /// It is here, differently, and stays as it is.
    Different,
    /// It has no place here, or cannot be read.
    LeftOut,
}

#[derive(Debug, Default)]
struct Counts {
    found: u64,
    new: u64,
    updated: u64,
    equal: u64,
    different: u64,
    left_out: u64,
    lines: Vec<String>,
    more: u64,
}

/// Kinds in the order in which they were first mentioned.
#[derive(Debug, Default)]
pub struct Report {
    order: Vec<&'static str>,
    kinds: BTreeMap<&'static str, Counts>,
    broken: u64,
}

impl Report {
    fn kind(&mut self, kind: &'static str) -> &mut Counts {
        if !self.kinds.contains_key(kind) {
            self.order.push(kind);
        }
        self.kinds.entry(kind).or_default()
    }

    /// The kind is in the table, whether rows of it are found or not.
    pub(super) fn mention(&mut self, kind: &'static str) {
        self.kind(kind);
    }

    pub(super) fn count(&mut self, kind: &'static str, fate: Fate, rows: u64) {
        let counts = self.kind(kind);
        counts.found += rows;
        *match fate {
            Fate::New => &mut counts.new,
            Fate::Updated => &mut counts.updated,
            Fate::Equal => &mut counts.equal,
            Fate::Different => &mut counts.different,
            Fate::LeftOut => &mut counts.left_out,
        } += rows;
    }

    /// A line about a row, that does not change what became of it.
    pub(super) fn remark(&mut self, kind: &'static str, id: &str, text: impl fmt::Display) {
        let counts = self.kind(kind);
        if counts.lines.len() < LINES {
            counts.lines.push(format!("{kind} {id}: {text}"));
        } else {
            counts.more += 1;
        }
    }

    /// A row that stays as it is here, or out, and why.
    pub(super) fn leave(&mut self, kind: &'static str, id: &str, fate: Fate, why: impl fmt::Display) {
        self.count(kind, fate, 1);
        self.remark(kind, id, why);
    }

    /// A row whose content is wrong.
    pub(super) fn broken(&mut self, kind: &'static str, id: &str, why: impl fmt::Display) {
        self.broken += 1;
        self.leave(kind, id, Fate::LeftOut, why);
    }

    /// Rows whose content is wrong.
    pub fn broken_rows(&self) -> u64 {
        self.broken
    }

    /// Rows that were or would be written.
    pub fn changes(&self) -> u64 {
        self.kinds.values().map(|counts| counts.new + counts.updated).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "kind", "found", "new", "updated", "equal", "different", "left out"
        )?;
        let all = || self.order.iter().filter_map(|kind| self.kinds.get_key_value(kind));
        for (kind, c) in all() {
            writeln!(
                f,
                "{kind:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                c.found, c.new, c.updated, c.equal, c.different, c.left_out
            )?;
        }
        for (kind, counts) in all() {
            for line in &counts.lines {
                writeln!(f, "{line}")?;
            }
            if counts.more > 0 {
                writeln!(f, "{kind}: and {} more such lines", counts.more)?;
            }
        }
        Ok(())
    }
}
