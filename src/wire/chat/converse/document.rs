//! Pictures and documents as the API takes them: a word for the format, and names that are all different.

use crate::wire::chat::media;
use std::collections::{HashMap, HashSet};

/// Formats of documents.
const DOCUMENTS: [&str; 9] = ["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"];

/// The longest name of a document, in characters.
const NAME: usize = 200;

/// `png`, `jpeg`, `gif` or `webp`.
pub(super) fn image_format(media_type: &str, data: &str) -> Option<&'static str> {
    media::picture_type(media_type, data)?.strip_prefix("image/")
}

/// By media type, else by how the name ends.
pub(super) fn document_format(media_type: &str, name: Option<&str>) -> Option<&'static str> {
    let known = |ending: &&str| DOCUMENTS.contains(ending);
    let by_name = || media::ending_of(media::type_of_name(name?)?).filter(known);
    media::ending_of(media_type).filter(known).or_else(by_name)
}

/// Names of documents as a request may carry them: letters, digits, single spaces, `-()[]`, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// By a name that was wanted more than once, the number that comes next.
    next: HashMap<String, usize>,
}

impl Names {
    pub(super) fn take(&mut self, name: Option<&str>) -> String {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '(' | ')' | '[' | ']');
        let spaced: String =
            name.unwrap_or_default().chars().map(|c| if allowed(c) { c } else { ' ' }).take(NAME).collect();
        let words: Vec<&str> = spaced.split_ascii_whitespace().collect();
        let base = if words.is_empty() { "document".to_owned() } else { words.join(" ") };
        if self.taken.insert(base.clone()) {
            return base;
        }
        let number = self.next.entry(base.clone()).or_insert(2);
        loop {
            let ending = format!(" ({number})");
            *number = number.saturating_add(1);
            let kept: String = base.chars().take(NAME.saturating_sub(ending.len())).collect();
            let free = format!("{}{ending}", kept.trim_end());
            if self.taken.insert(free.clone()) {
                return free;
            }
        }
    }
}
