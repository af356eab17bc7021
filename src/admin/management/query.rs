//! Queries of lists and details, read leniently: empty and unreadable values are as if they were not there.

use super::answer::{List, Refusal};
use crate::store::{Order, Page, Paging};
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use std::convert::Infallible;

const DEFAULT_LIMIT: u64 = 20;
/// Rows in one answer.
const MOST: u64 = 1000;
/// No row has this number: a filter by what is not a number finds nothing.
const NOBODY: i64 = -1;

/// Of repeated parameters the first counts.
pub(in crate::admin) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Query {
    fn of(parts: &Parts) -> Self {
        let pairs = axum::extract::Query::try_from_uri(&parts.uri);
        Self(pairs.map(|axum::extract::Query(pairs)| pairs).unwrap_or_default())
    }
    pub(in crate::admin) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
    pub(in crate::admin) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(String::from)
    }
    /// Number of a row.
    pub(in crate::admin) fn id(&self, name: &str) -> Option<i64> {
        self.text(name).map(|text| text.trim().parse().unwrap_or(NOBODY))
    }
    /// `<column>-0` for ascending, `<column>-1` for descending.
    pub(in crate::admin) fn order(&self) -> Option<(&str, Order)> {
        let (column, order) = self.text("orderBy")?.rsplit_once('-')?;
        let order = match order {
            "0" => Order::Ascending,
            "1" => Order::Descending,
            _ => return None,
        };
        Some((column, order))
    }
    pub(in crate::admin) fn paging(&self) -> Paging {
        let number = |name| self.text(name).and_then(|text| text.trim().parse::<i128>().ok());
        let limit = number("limit").and_then(|n| u64::try_from(n.min(i128::from(MOST))).ok()).filter(|n| *n > 0);
        let offset = number("offset").and_then(|n| u64::try_from(n.min(i128::from(i64::MAX))).ok());
        Paging { limit: limit.unwrap_or(DEFAULT_LIMIT), offset: offset.unwrap_or(0), count: true }
    }
}

impl<T> List<T> {
    pub(in crate::admin) fn of<R>(page: Page<R>, paging: Paging, item: impl FnMut(R) -> T) -> Self {
        Self {
            items: page.rows.into_iter().map(item).collect(),
            total: page.count.to_string(),
            limit: paging.limit,
            offset: paging.offset,
        }
    }
}

/// The number of the row that is asked for, at the end of the path or as `?id=`.
pub(in crate::admin) struct RowId(pub(in crate::admin) i64);

impl<S: Send + Sync> FromRequestParts<S> for RowId {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let named = Path::<String>::from_request_parts(parts, state).await.ok();
        let named = named.map(|Path(text)| text.trim().parse().unwrap_or(NOBODY));
        named.or_else(|| Query::of(parts).id("id")).map(Self).ok_or_else(|| Refusal::invalid("id is required"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn query(text: &str) -> Query {
        let uri = format!("/admin/x/list?{text}");
        Query::of(&Request::builder().uri(uri).body(()).unwrap().into_parts().0)
    }

    #[test]
    fn c38_limits_that_make_no_sense_are_the_default() {
        for (text, limit, offset) in [
            ("", 20, 0),
            ("limit=&offset=", 20, 0),
            ("limit=5&offset=3", 5, 3),
            ("limit=0&offset=-1", 20, 0),
            ("limit=x&offset=1.5", 20, 0),
            ("limit=-5", 20, 0),
            ("limit=1000", 1000, 0),
            ("limit=99999999999999999999&offset=99999999999999999999", 1000, i64::MAX.unsigned_abs()),
            ("f=?f=1700000000000&limit=7", 7, 0),
            ("%zz=%ff&limit=7", 7, 0),
        ] {
            let paging = query(text).paging();
            assert_eq!((paging.limit, paging.offset, paging.count), (limit, offset, true), "{text}");
        }
    }

    #[test]
    fn only_whole_order_tokens_count() {
        assert_eq!(query("orderBy=id-0").order(), Some(("id", Order::Ascending)));
        assert_eq!(query("orderBy=name-1").order(), Some(("name", Order::Descending)));
        for wrong in ["", "id", "id-2", "id;drop%20table%20x", "-"] {
            assert_eq!(query(&format!("orderBy={wrong}")).order(), None, "{wrong}");
        }
    }

    #[test]
    fn a_number_that_is_none_is_nobodys() {
        assert_eq!(query("key_id=7").id("key_id"), Some(7));
        assert_eq!(query("key_id=").id("key_id"), None);
        assert_eq!(query("key_id=7%20or%201=1").id("key_id"), Some(NOBODY));
    }
}
