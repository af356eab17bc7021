//! The results of a batch, a line for each of its requests, at the batch's price. They can be fetched any number of
//! times and are charged once, by the id of the batch: the gateway sees to that.

use crate::domain::{Usage, UsageSource};
use crate::providers::anthropic::usage;
use crate::providers::sums::Sums;
use crate::providers::{Ending, Progress, Reading, ResponseMeter};
use crate::wire::json_walk::{member, unescape};
use bytes::{Bytes, BytesMut};
use memchr::memchr;

/// A longer line is not read; the rest of the results is.
const LONGEST_LINE: usize = 16 * 1024 * 1024;
#[derive(Debug)]
pub(super) struct Results {
    batch: Box<str>,
    line: BytesMut,
    skipping: bool,
    sums: Sums,
}

impl Results {
    pub(super) fn new(batch: Box<str>, line: BytesMut) -> Self {
        Self { batch, line, skipping: false, sums: Sums::default() }
    }

    fn see(&mut self, piece: &[u8]) {
        let mut rest = piece;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            if !std::mem::take(&mut self.skipping) {
                self.line.extend_from_slice(line);
                self.finish_line();
            }
            rest = after.get(1..).unwrap_or_default();
        }
        if self.skipping || self.line.len() + rest.len() > LONGEST_LINE {
            self.line.clear();
            self.skipping = true;
        } else {
            self.line.extend_from_slice(rest);
        }
    }

    fn finish_line(&mut self) {
        let line = self.line.split();
        let message = member(&line, "result").and_then(|m| member(m.value, "message")).map(|m| m.value);
        let answer = usage::answer(message.unwrap_or_default());
        let model: Box<str> = unescape(answer.model.unwrap_or_default()).into();
        if answer.tally.is_empty() || model.is_empty() {
            return;
        }
        let also = answer.tally.also(&model);
        let own = answer.tally.usage(UsageSource::Upstream);
        for (model, usage) in [(model, own)].into_iter().chain(also) {
            self.sums.add(model, Usage { batch: true, ..usage });
        }
    }
}

impl ResponseMeter for Results {
    fn push(&mut self, piece: Bytes, out: &mut Vec<Bytes>) -> Progress {
        self.see(&piece);
        out.push(piece);
        Progress::More
    }
    fn end(&mut self, _out: &mut Vec<Bytes>) {
        self.finish_line();
    }
    fn reading(&mut self, _ending: Ending) -> Reading {
        let charge = std::mem::take(&mut self.sums).into_charge(self.batch.clone());
        Reading { charges: charge.into_iter().collect(), ..Reading::default() }
    }
    fn broken_tail(&self, _message: &str) -> Option<Bytes> {
        None
    }
    fn is_stream(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{Charge, suite};

    fn line(id: usize, model: &str, input: u64) -> String {
        format!(
            r#"{{"custom_id":"{id}","result":{{"type":"succeeded","message":{{"model":"{model}","usage":{{"input_tokens":{input},"output_tokens":2,"service_tier":"batch"}}}}}}}}"#
        )
    }

    fn charge(body: &str) -> Option<Charge> {
        let meter = || Box::new(Results::new("msgbatch_1".into(), BytesMut::new())) as Box<dyn ResponseMeter>;
        let whole = suite::run(meter(), body.as_bytes(), &[], Ending::Complete);
        assert_eq!(whole.put_out, body.as_bytes());
        let bytewise: Vec<_> = (0..body.len()).step_by(7).collect();
        assert_eq!(suite::run(meter(), body.as_bytes(), &bytewise, Ending::Complete), whole);
        whole.reading.charges.into_iter().next()
    }

    fn shown(charge: &Charge) -> Vec<(&str, u64, u64)> {
        charge.parts().map(|(model, usage)| (model, usage.in_text, usage.out_text)).collect()
    }

    #[test]
    fn what_succeeded_is_charged_at_the_price_of_a_batch() {
        let errored = r#"{"custom_id":"x","result":{"type":"errored","error":{"type":"error"}}}"#;
        let body = [&line(1, "a", 10), errored, "not json", "", &line(2, "b", 20), &line(3, "a", 30)].join("\n");
        let charge = charge(&body).expect("a charge");
        assert_eq!(&*charge.id, "msgbatch_1");
        assert_eq!(shown(&charge), [("a", 40, 4), ("b", 20, 2)]);
        assert!(charge.parts().all(|(_, usage)| usage.batch && usage.source == UsageSource::Upstream));
        assert_eq!(charge.usage.service_tier.as_deref(), Some("batch"));
    }

    #[test]
    fn sums_stay_below_what_would_change_a_price() {
        let body = [&*line(1, "a", 40_000), &line(2, "a", 40_000), &line(3, "a", 150_000), &line(4, "a", 5)].join("\n");
        let charge = charge(&format!("{body}\n")).expect("a charge");
        assert_eq!(shown(&charge), [("a", 40_000, 2), ("a", 40_000, 2), ("a", 150_000, 2), ("a", 5, 2)]);
    }

    #[test]
    fn nothing_is_charged_for_nothing() {
        for body in
            ["", "\n\n", r#"{"type":"error","error":{}}"#, r#"{"result":{"message":{"usage":{"input_tokens":1}}}}"#]
        {
            assert_eq!(charge(body), None, "{body}");
        }
    }

    #[test]
    fn an_endless_line_is_not_kept() {
        let mut meter = Results::new("b".into(), BytesMut::new());
        let mut out = Vec::new();
        for _ in 0..20 {
            meter.push(Bytes::from(vec![b'x'; 1 << 20]), &mut out);
            assert!(meter.line.len() <= LONGEST_LINE);
        }
        meter.push(Bytes::from(format!("\n{}", line(1, "a", 3))), &mut out);
        meter.end(&mut out);
        assert_eq!(meter.reading(Ending::Complete).charges[0].usage.in_text, 3);
    }
}
