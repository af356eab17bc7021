//! Long texts that are filtered or grouped by: an index cannot hold them, so rows carry a short form of them.

use super::Result;
use super::row::storable;
use deadpool_postgres::GenericClient;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bytes. Longer texts get a short form, which is longer than this: it can be mistaken for nothing that is verbatim.
const LONGEST_VERBATIM: usize = 500;
/// Bytes of the beginning in a short form, cut at a letter; a SHA-256 in hex follows.
const BEGINNING: usize = 448;

/// The text as rows carry it: itself, or its beginning and its digest.
pub(super) fn brief(text: &str) -> Cow<'_, str> {
    let text = storable(text);
    if text.len() <= LONGEST_VERBATIM { text } else { Cow::Owned(short(&text)) }
}

fn short(text: &str) -> String {
    let digest = hex::encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()));
    let beginning = text.get(..text.floor_char_boundary(BEGINNING)).unwrap_or_default();
    format!("{beginning}{digest}")
}

pub(super) fn briefs(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| brief(text).into_owned()).collect()
}

/// Long texts on their way into rows, with the latest moment at which each was used.
#[derive(Debug, Default)]
pub(super) struct LongTexts {
    seen: BTreeMap<String, (String, i64)>,
}

impl LongTexts {
    pub(super) fn brief<'t>(&mut self, text: &'t str, at: i64) -> Cow<'t, str> {
        let text = storable(text);
        if text.len() <= LONGEST_VERBATIM {
            return text;
        }
        let short = short(&text);
        let (_, seen) = self.seen.entry(short.clone()).or_insert_with(|| (text.into_owned(), at));
        *seen = at.max(*seen);
        Cow::Owned(short)
    }

    pub(super) async fn write(self, client: &impl GenericClient) -> Result<()> {
        for (short, (whole, seen)) in self.seen {
            client
                .execute(
                    "INSERT INTO long_texts (short, whole, seen) VALUES ($1, $2, $3) ON CONFLICT (short) \
                     DO UPDATE SET seen = excluded.seen WHERE long_texts.seen < excluded.seen",
                    &[&short, &whole, &seen],
                )
                .await?;
        }
        Ok(())
    }
}

/// The whole texts of those among `texts` that are short forms. One statement, if there are any.
pub(super) async fn whole_texts(client: &impl GenericClient, texts: Vec<&str>) -> Result<WholeTexts> {
    let mut short = texts;
    short.retain(|text| text.len() > LONGEST_VERBATIM);
    if short.is_empty() {
        return Ok(WholeTexts::default());
    }
    short.sort_unstable();
    short.dedup();
    let rows = client.query("SELECT short, whole FROM long_texts WHERE short = ANY($1)", &[&short]).await?;
    let pair = |row: tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.into_iter().map(pair).collect::<Result<_>>().map(WholeTexts)
}

#[derive(Debug, Default)]
pub(super) struct WholeTexts(BTreeMap<String, String>);

impl WholeTexts {
    pub(super) fn restore(&self, text: &mut Box<str>) {
        if let Some(whole) = self.0.get(&**text) {
            *text = whole.as_str().into();
        }
    }
    pub(super) fn restore_string(&self, text: &mut String) {
        if let Some(whole) = self.0.get(text) {
            text.clone_from(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_form_is_no_verbatim_text_and_fits_an_index() {
        for text in ["ä".repeat(300), "x".repeat(501), "🦀".repeat(1 << 18), "a".repeat(447) + &"🦀".repeat(20)] {
            let short = brief(&text);
            assert!(short.len() > LONGEST_VERBATIM && short.len() <= BEGINNING + 64, "{}", short.len());
            assert_eq!(brief(&text), short);
            assert_ne!(brief(&(text.clone() + "x")), short);
        }
        assert_eq!(brief(&"x".repeat(500)), "x".repeat(500));
        assert_eq!(brief("a\0b"), "a\u{fffd}b");
    }
}
