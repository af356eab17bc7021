//! Handles to the metrics of one endpoint and one provider. Resolved once and kept by [`super::Metrics`], because
//! looking a child up by its labels costs more than counting.

use super::labels::{PerLabel, StatusClass, TokenKind};
use crate::domain::{Money, Usage};
use prometheus::{Counter, Histogram, IntCounter};
use std::sync::Arc;
use std::time::Duration;

/// What is known of a request when it has ended.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// Status sent to the client; 499 when it left before one was sent.
    pub status: u16,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
    /// From the first byte of the request to the first of the response; `None` when there was none.
    pub first_byte: Option<Duration>,
    /// Time spent here and not waiting for client or upstream; `None` when it was not measured.
    pub overhead: Option<Duration>,
    pub usage: &'a Usage,
    pub cost: Money,
    /// Served although no price is known.
    pub unpriced: bool,
}

/// Counters of one provider, shared by its endpoints.
#[derive(Debug)]
pub(super) struct ProviderMetrics {
    pub(super) tokens: PerLabel<TokenKind>,
    pub(super) cost_usd: Counter,
    pub(super) unpriced: IntCounter,
}

/// Counters of one (provider, endpoint template).
#[derive(Debug)]
pub struct EndpointMetrics {
    pub(super) requests: PerLabel<StatusClass>,
    pub(super) duration: Histogram,
    pub(super) first_byte: Histogram,
    pub(super) overhead: Histogram,
    pub(super) provider: Arc<ProviderMetrics>,
}

impl EndpointMetrics {
    /// Counts one request that has ended. Call it once per request.
    pub fn finished(&self, request: &Finished<'_>) {
        self.requests.add(StatusClass::of(request.status), 1);
        self.duration.observe(request.duration.as_secs_f64());
        if let Some(first_byte) = request.first_byte {
            self.first_byte.observe(first_byte.as_secs_f64());
        }
        if let Some(overhead) = request.overhead {
            self.overhead.observe(overhead.as_secs_f64());
        }
        self.provider.consumed(request.usage, request.cost, request.unpriced);
    }
    /// Counts what a request consumed that has not ended yet.
    pub fn consumed(&self, usage: &Usage, cost: Money, unpriced: bool) {
        self.provider.consumed(usage, cost, unpriced);
    }
}

impl ProviderMetrics {
    fn consumed(&self, usage: &Usage, cost: Money, unpriced: bool) {
        let cache_read = [usage.cache_read_text, usage.cache_read_audio, usage.cache_read_image];
        let cache_write = [usage.cache_write_5m, usage.cache_write_1h, usage.cache_write_30m, usage.cache_write_12h];
        for (kind, count) in [
            (TokenKind::InputText, usage.in_text),
            (TokenKind::InputAudio, usage.in_audio),
            (TokenKind::InputImage, usage.in_image),
            (TokenKind::CacheRead, total(&cache_read)),
            (TokenKind::CacheWrite, total(&cache_write)),
            (TokenKind::OutputText, usage.out_text),
            (TokenKind::OutputAudio, usage.out_audio),
            (TokenKind::OutputImage, usage.out_image),
        ] {
            if count > 0 {
                self.tokens.add(kind, count);
            }
        }
        // A Prometheus counter must not go down; a negative cost is a correction and belongs to the ledger.
        if cost > Money::ZERO {
            self.cost_usd.inc_by(cost.to_usd_f64());
        }
        if unpriced {
            self.unpriced.inc();
        }
    }
}

fn total(counts: &[u64]) -> u64 {
    counts.iter().copied().fold(0, u64::saturating_add)
}
