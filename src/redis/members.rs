//! Who is in a cluster and has which of its slots, as one of its nodes tells.

use super::connection::Connection;
use super::settings::Node;
use redis::Value;
use std::time::Duration;
use tokio::time::timeout;

/// Of all clusters.
const SLOTS: i64 = 16_384;
/// So many ranges are told.
const MOST_TOLD: usize = 3;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Members {
    /// For when those that are configured are gone.
    pub(super) nodes: Vec<Node>,
    /// First and last slot of ranges that somebody has; empty where the user may not know.
    ranges: Vec<(i64, i64)>,
}

impl Members {
    /// As `asked` tells it, which `connection` leads to; nobody when it does not.
    pub(super) async fn ask(connection: &Connection, limit: Duration, asked: &Node) -> Self {
        let mut command = redis::cmd("CLUSTER");
        match timeout(limit, connection.call(command.arg("SLOTS"))).await {
            Ok(Ok(answer)) => Self::read(answer, asked),
            _ => Self::default(),
        }
    }

    fn read(answer: Value, asked: &Node) -> Self {
        let mut found = Self::default();
        let Value::Array(ranges) = answer else { return found };
        for range in ranges {
            let Value::Array(parts) = range else { continue };
            if let [Value::Int(first), Value::Int(last), ..] = parts.as_slice() {
                found.ranges.push((*first, *last));
            }
            // Two numbers of slots, then a list for each node.
            for node in parts.into_iter().skip(2) {
                let Value::Array(node) = node else { continue };
                let [Value::BulkString(host), Value::Int(port), ..] = node.as_slice() else { continue };
                let (Ok(host), Ok(port)) = (std::str::from_utf8(host), u16::try_from(*port)) else { continue };
                // One that does not know its own address is the one that was asked.
                let host = if host.is_empty() { asked.host.clone() } else { host.into() };
                let node = Node { host, port };
                if !found.nodes.contains(&node) {
                    found.nodes.push(node);
                }
            }
        }
        found
    }

    /// Slots that nobody has, in words: keys of theirs cannot be counted, by default none at all.
    pub(super) fn gaps(&self) -> Option<String> {
        if self.ranges.is_empty() {
            return None;
        }
        let mut ranges = self.ranges.clone();
        ranges.sort_unstable();
        let (mut next, mut gaps) = (0, Vec::new());
        for (first, last) in ranges.into_iter().chain([(SLOTS, SLOTS)]) {
            if first > next {
                gaps.push(format!("{next}-{}", first - 1));
            }
            next = next.max(last.saturating_add(1));
        }
        let more = gaps.len().checked_sub(MOST_TOLD).filter(|more| *more > 0);
        gaps.truncate(MOST_TOLD);
        let more = more.map_or(String::new(), |more| format!(" and {more} more ranges"));
        (!gaps.is_empty()).then(|| format!("slots {}{more}", gaps.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_between_ranges_in_any_order() {
        let gaps = |ranges: &[(i64, i64)]| Members { nodes: Vec::new(), ranges: ranges.to_vec() }.gaps();
        assert_eq!(gaps(&[(8192, 16_383), (0, 8191)]), None);
        assert_eq!(gaps(&[]), None, "not known");
        assert_eq!(gaps(&[(5461, 10_922), (0, 5460)]).as_deref(), Some("slots 10923-16383"));
        assert_eq!(gaps(&[(1, 5), (7, 16_383)]).as_deref(), Some("slots 0-0, 6-6"));
        let odd: Vec<_> = (0..6).map(|n| (2 * n + 1, 2 * n + 1)).collect();
        assert_eq!(gaps(&odd).as_deref(), Some("slots 0-0, 2-2, 4-4 and 4 more ranges"));
    }
}
