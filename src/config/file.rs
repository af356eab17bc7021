//! The TOML file as a flat list of known keys with their lines. Everything else in it is a mistake.

use super::declare::full_name;
use super::mistake::{Mistakes, did_you_mean};
use super::sections;
use super::value::Raw;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and its line, counted from 1.
pub(super) struct Entry {
    pub(super) raw: Raw,
    pub(super) line: usize,
}

/// By dotted name.
pub(super) type Entries = BTreeMap<String, Entry>;

/// `name` is the file's, for messages. What can be read is read even when other lines cannot.
pub(super) fn parse(name: &str, text: &str, mistakes: &mut Mistakes) -> Entries {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut walk = Walk { text, broken: BTreeMap::new(), faults: Vec::new(), entries: Entries::new() };
    for error in &errors {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        // Only the message: the rendered error repeats the line, which may hold a secret. And only the first of a
        // line: the rest follows from it.
        walk.broken.entry(line).or_insert_with(|| one_line(error.message()));
    }
    walk.table("", document.get_ref());

    for (line, message) in walk.broken {
        walk.faults.push(Fault { line, key: String::new(), what: format!("is not valid TOML: {message}") });
    }
    walk.faults.sort_by_key(|fault| fault.line);
    for fault in walk.faults {
        let place = format!("{name}:{}", fault.line);
        if fault.key.is_empty() {
            mistakes.add(&place, fault.what, None);
        } else {
            mistakes.add(&fault.key, fault.what, Some(place));
        }
    }
    walk.entries
}

struct Fault {
    line: usize,
    /// Empty when the line itself is at fault.
    key: String,
    what: String,
}

struct Walk<'a> {
    text: &'a str,
    /// Lines that are not TOML, with what is wrong; nothing read from them counts.
    broken: BTreeMap<usize, String>,
    faults: Vec<Fault>,
    entries: Entries,
}

impl Walk<'_> {
    fn table(&mut self, path: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = if path.is_empty() { key.get_ref().to_string() } else { full_name(path, key.get_ref()) };
            let line = line_of(self.text, key.span().start);
            let broken = self.broken.contains_key(&line) && value.get_ref().as_table().is_none();
            if !broken {
                self.entry(name, line, value);
            }
        }
    }

    fn entry(&mut self, name: String, line: usize, value: &Spanned<DeValue<'_>>) {
        let what = match (What::is(&name), value.get_ref()) {
            (What::Section, DeValue::Table(table)) => return self.table(&name, table),
            (What::Key, value) => {
                self.entries.insert(name, Entry { raw: raw(value), line });
                return;
            }
            (What::Section, _) => format!("is a section: write [{name}] and its keys below"),
            (What::Unknown, DeValue::Table(_)) => {
                let known = sections::all().into_iter().map(|section| section.path.to_owned());
                format!("is not a known section{}", did_you_mean(&name, known))
            }
            (What::Unknown, _) => format!("is not a known key{}", did_you_mean(&name, key_names().into_iter())),
        };
        self.faults.push(Fault { line, key: name, what });
    }
}

enum What {
    /// Or a part of the name of one, such as `providers`.
    Section,
    Key,
    Unknown,
}

impl What {
    fn is(name: &str) -> Self {
        let sections = sections::all();
        let below = format!("{name}.");
        if sections.iter().any(|s| s.path == name || s.path.starts_with(&below)) {
            Self::Section
        } else if key_names().iter().any(|key| key == name) {
            Self::Key
        } else {
            Self::Unknown
        }
    }
}

fn key_names() -> Vec<String> {
    sections::all()
        .iter()
        .flat_map(|section| section.keys.iter().map(|key| full_name(section.path, key.name)))
        .collect()
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Boolean(on) => Raw::Switch(*on),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Raw::Unfit("integer"), Raw::Integer)
        }
        DeValue::Array(items) => items
            .iter()
            .map(|item| item.get_ref().as_str().map(str::to_owned))
            .collect::<Option<Vec<_>>>()
            .map_or(Raw::Unfit("array"), Raw::List),
        other => Raw::Unfit(other.type_str()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
