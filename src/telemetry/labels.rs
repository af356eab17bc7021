//! Every label value that is not a provider or endpoint template. An enum each, so a series can only come into being
//! by a change of this file.

use prometheus::IntCounter;
use prometheus::IntCounterVec;
use std::marker::PhantomData;

/// A closed set of label values, numbered from 0 in the order of [`Label::ALL`].
pub trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn name(self) -> &'static str;
    fn position(self) -> usize;
}

macro_rules! label {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[doc = $doc])* $value),+ }

        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$value),+];
            fn name(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
            fn position(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// Why a request was turned away.
    RefusalReason {
        /// No key, or none that is known.
        Auth = "auth",
        Revoked = "revoked",
        Expired = "expired",
        /// The key may not call this path.
        Path = "path",
        /// The key or setting may not use this model.
        Model = "model",
        Rate = "rate",
        WindowBudget = "window_budget",
        TotalBudget = "total_budget",
        /// Nothing is left of the month's quota and the balance, or not enough.
        Quota = "quota",
        /// No price for the model, and the key has a budget.
        Unpriced = "unpriced",
        BodyTooLarge = "body_too_large",
        BadRequest = "bad_request",
        /// The journal is full or cannot be written.
        Journal = "journal",
        /// Connections or buffered bodies are at their bound, or the gateway is stopping.
        Overloaded = "overloaded",
        NotFound = "not_found",
    }
}

label! {
    /// Who ended an admitted request early.
    AbortedBy {
        Client = "client",
        Upstream = "upstream",
        /// A deadline of ours passed.
        Timeout = "timeout",
        /// A failure or the stop of the gateway itself.
        Gateway = "gateway",
    }
}

label! {
    /// How a request got its connection to the upstream.
    ConnectionState {
        Opened = "opened",
        Reused = "reused",
    }
}

label! {
    /// What the cache of a route was for a request.
    CacheResult {
        /// The answer was there.
        Hit = "hit",
        /// It was not, and the upstream was asked.
        Miss = "miss",
        /// Somebody else was asking already, and the answer was shared.
        Joined = "joined",
        /// The request is not one whose answer could be kept.
        Bypass = "bypass",
    }
}

label! {
    /// The hundred that a status belongs to.
    StatusClass {
        Informational = "1xx",
        Success = "2xx",
        Redirect = "3xx",
        ClientError = "4xx",
        ServerError = "5xx",
    }
}

impl StatusClass {
    /// A number that is no HTTP status counts as a server error: it must not vanish from the sum.
    pub const fn of(status: u16) -> Self {
        match status {
            100..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

label! {
    /// Disjoint kinds of tokens: their sum is all tokens.
    TokenKind {
        InputText = "input_text",
        InputAudio = "input_audio",
        InputImage = "input_image",
        CacheRead = "cache_read",
        CacheWrite = "cache_write",
        OutputText = "output_text",
        OutputAudio = "output_audio",
        OutputImage = "output_image",
    }
}

/// One counter per value of a label, resolved once: counting neither hashes nor locks.
#[derive(Debug)]
pub(super) struct PerLabel<L> {
    counters: Box<[IntCounter]>,
    label: PhantomData<L>,
}

impl<L: Label> PerLabel<L> {
    /// `resolve` gives the child for one label value.
    pub(super) fn new(resolve: impl Fn(&'static str) -> IntCounter) -> Self {
        Self { counters: L::ALL.iter().map(|value| resolve(value.name())).collect(), label: PhantomData }
    }
    /// Children of a vector whose only label is `L`.
    pub(super) fn of(vector: &IntCounterVec) -> Self {
        Self::new(|name| vector.with_label_values(&[name]))
    }
    pub(super) fn add(&self, value: L, count: u64) {
        if let Some(counter) = self.counters.get(value.position()) {
            counter.inc_by(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_numbering<L: Label>() {
        let mut names: Vec<_> = L::ALL.iter().map(|value| value.name()).collect();
        for (position, value) in L::ALL.iter().enumerate() {
            assert_eq!(value.position(), position, "{}", value.name());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), L::ALL.len(), "two values share a name");
    }

    #[test]
    fn values_are_numbered_in_order_and_named_apart() {
        check_numbering::<RefusalReason>();
        check_numbering::<AbortedBy>();
        check_numbering::<ConnectionState>();
        check_numbering::<CacheResult>();
        check_numbering::<StatusClass>();
        check_numbering::<TokenKind>();
    }

    #[test]
    fn every_status_has_a_class() {
        for (status, class) in [(100, "1xx"), (200, "2xx"), (302, "3xx"), (499, "4xx"), (503, "5xx"), (0, "5xx")] {
            assert_eq!(StatusClass::of(status).name(), class, "{status}");
        }
    }
}
