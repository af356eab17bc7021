//! What an operator got wrong: all of it, one line each, naming the key and where it was set.

use std::fmt;

/// Similarity (1 = equal) from which a name is proposed.
const CLOSE: f64 = 0.7;

/// One mistake. Its text holds no secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// The key, variable or file at fault.
    pub key: String,
    pub what: String,
    /// Where the key was set; `None` when `key` says it already.
    pub origin: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)?;
        match &self.origin {
            Some(origin) => write!(f, " (set by {origin})"),
            None => Ok(()),
        }
    }
}

/// All mistakes of one start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
    pub(super) fn add(&mut self, key: &str, what: String, origin: Option<String>) {
        self.0.push(Mistake { key: key.to_owned(), what, origin });
    }
}

/// One line per mistake.
impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.0.iter().enumerate() {
            write!(f, "{}{mistake}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// `, did you mean ...?` when one of the known names is close to the given one, else nothing.
pub(super) fn did_you_mean(given: &str, known: impl Iterator<Item = String>) -> String {
    known
        .map(|name| (closeness(given, &name), name))
        .filter(|(closeness, _)| *closeness >= CLOSE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map_or_else(String::new, |(_, name)| format!(", did you mean {name}?"))
}

/// A key in the wrong section is as close as a small slip of the pen.
fn closeness(given: &str, name: &str) -> f64 {
    let same_key = given.rsplit_once('.').zip(name.rsplit_once('.')).is_some_and(|((_, a), (_, b))| a == b);
    let spelled = strsim::normalized_damerau_levenshtein(given, name);
    if same_key { spelled.max(CLOSE) } else { spelled }
}
