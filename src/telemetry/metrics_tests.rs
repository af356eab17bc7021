use super::*;
use crate::domain::Usage;
use crate::telemetry::Finished;
use crate::telemetry::labels::Label;

/// The value of the sample whose line begins with `series` and a space.
fn sample(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn finished(status: u16, usage: &Usage) -> Finished<'_> {
    Finished {
        status,
        duration: Duration::from_millis(300),
        first_byte: Some(Duration::from_millis(40)),
        overhead: Some(Duration::from_micros(30)),
        usage,
        cost: Money::from_units(12_500_000_000),
        unpriced: false,
    }
}

#[test]
fn a_finished_request_is_in_every_metric_of_its_endpoint() {
    let metrics = Metrics::new().unwrap();
    let usage = Usage { in_text: 10, cache_read_text: 3, cache_read_audio: 1, out_text: 7, ..Usage::default() };
    metrics.endpoint("openai", "/v1/chat/completions").finished(&finished(200, &usage));
    metrics.endpoint("openai", "/v1/chat/completions").finished(&finished(429, &Usage::default()));

    let text = metrics.render();
    let at = r#"endpoint="/v1/chat/completions",provider="openai""#;
    for (series, value) in [
        (format!(r#"tollgate_requests_total{{{at},status_class="2xx"}}"#), 1.0),
        (format!(r#"tollgate_requests_total{{{at},status_class="4xx"}}"#), 1.0),
        (format!("tollgate_request_duration_seconds_count{{{at}}}"), 2.0),
        (format!(r#"tollgate_request_duration_seconds_bucket{{{at},le="0.25"}}"#), 0.0),
        (format!(r#"tollgate_request_duration_seconds_bucket{{{at},le="0.5"}}"#), 2.0),
        (format!(r#"tollgate_time_to_first_byte_seconds_bucket{{{at},le="0.05"}}"#), 2.0),
        (r#"tollgate_overhead_seconds_bucket{le="0.00005"}"#.to_owned(), 2.0),
        (r#"tollgate_tokens_total{kind="input_text",provider="openai"}"#.to_owned(), 10.0),
        (r#"tollgate_tokens_total{kind="cache_read",provider="openai"}"#.to_owned(), 4.0),
        (r#"tollgate_tokens_total{kind="output_text",provider="openai"}"#.to_owned(), 7.0),
        (r#"tollgate_cost_usd_total{provider="openai"}"#.to_owned(), 2.5),
        (r#"tollgate_unpriced_requests_total{provider="openai"}"#.to_owned(), 0.0),
    ] {
        assert_eq!(sample(&text, &series), Some(value), "{series}\n{text}");
    }
}

#[test]
fn every_metric_is_rendered_under_its_name() {
    let metrics = Metrics::new().unwrap();
    metrics.endpoint("openai", "/v1/models").finished(&finished(200, &Usage::default()));
    metrics.route_try("/chat", 1, "openai", "answered", Duration::ZERO);
    metrics.observe_dependency("store", true);
    metrics.observe_dependency("store", false);
    let text = metrics.render();
    assert_eq!(sample(&text, r#"tollgate_dependency_up{dependency="store"}"#), Some(0.0), "the last word counts");
    for name in [
        "build_info gauge",
        "requests_total counter",
        "request_duration_seconds histogram",
        "time_to_first_byte_seconds histogram",
        "overhead_seconds histogram",
        "tokens_total counter",
        "cost_usd_total counter",
        "refusals_total counter",
        "unpriced_requests_total counter",
        "aborted_total counter",
        "journal_pending_events gauge",
        "journal_rejected_events gauge",
        "journal_bytes gauge",
        "journal_notes_dropped_total counter",
        "holds gauge",
        "held_usd gauge",
        "upstream_connections_total counter",
        "in_flight_requests gauge",
        "keys_loaded gauge",
        "snapshot_age_seconds gauge",
        "store_errors_total counter",
        "log_lines_dropped_total counter",
        "route_tries_total counter",
        "route_try_duration_seconds histogram",
        "route_cache_total counter",
        "dependency_up gauge",
        "route_set_aside gauge",
        "route_cache_bytes gauge",
    ] {
        assert!(text.contains(&format!("# TYPE tollgate_{name}\n")), "{name} is missing in\n{text}");
    }
    for reason in RefusalReason::ALL {
        let series = format!(r#"tollgate_refusals_total{{reason="{}"}}"#, reason.name());
        assert_eq!(sample(&text, &series), Some(0.0), "{series} is not there before its first refusal");
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_metrics_that_there_are() {
    let metrics = Metrics::new().unwrap();
    metrics.endpoint("openai", "/v1/models").finished(&finished(200, &Usage::default()));
    metrics.route_try("/chat", 1, "openai", "answered", Duration::ZERO);
    metrics.observe_dependency("store", true);
    let text = metrics.render();
    for asked in
        [include_str!("../../conf/grafana/dashboards/tollgate.json"), include_str!("../../conf/prometheus/alerts.yml")]
    {
        let names: Vec<_> = asked
            .split(|c: char| !c.is_ascii_lowercase() && c != '_')
            .filter(|word| word.starts_with("tollgate_"))
            .collect();
        assert!(names.len() >= 5, "{names:?}");
        for name in names {
            // The samples, and not only the family: a histogram has no sample of its own name.
            let is_there =
                text.lines().any(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
            assert!(is_there, "{name} is asked for");
        }
    }
}

#[test]
fn refusals_and_aborts_are_counted_by_their_own_label_only() {
    let metrics = Metrics::new().unwrap();
    metrics.refused(RefusalReason::WindowBudget);
    metrics.refused(RefusalReason::WindowBudget);
    metrics.aborted(AbortedBy::Client);
    metrics.connected(ConnectionState::Reused);
    metrics.store_failed();
    let text = metrics.render();
    assert_eq!(sample(&text, r#"tollgate_refusals_total{reason="window_budget"}"#), Some(2.0));
    assert_eq!(sample(&text, r#"tollgate_refusals_total{reason="total_budget"}"#), Some(0.0));
    assert_eq!(sample(&text, r#"tollgate_aborted_total{by="client"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"tollgate_upstream_connections_total{state="reused"}"#), Some(1.0));
    assert_eq!(sample(&text, r#"tollgate_upstream_connections_total{state="opened"}"#), Some(0.0));
    assert_eq!(sample(&text, "tollgate_store_errors_total"), Some(1.0));
}

#[test]
fn a_request_is_in_flight_until_its_guard_is_gone() {
    let metrics = Metrics::new().unwrap();
    let first = metrics.enter();
    let second = metrics.enter();
    assert_eq!(metrics.in_flight(), 2);
    drop(first);
    assert_eq!(sample(&metrics.render(), "tollgate_in_flight_requests"), Some(1.0));
    drop(second);
    assert_eq!(metrics.in_flight(), 0);
}

#[test]
fn totals_from_elsewhere_count_once_and_never_fall() {
    let metrics = Metrics::new().unwrap();
    for total in [5, 5, 3, 9] {
        metrics.observe_dropped_log_lines(total);
    }
    metrics.observe_journal(4, 1, 4096);
    metrics.observe_dropped_notes(2);
    metrics.observe_holds(1, Money::from_units(5_000_000_000));
    metrics.observe_snapshot(u64::MAX, Duration::from_millis(1500));
    let text = metrics.render();
    assert_eq!(sample(&text, "tollgate_log_lines_dropped_total"), Some(9.0));
    assert_eq!(sample(&text, "tollgate_journal_pending_events"), Some(4.0));
    assert_eq!(sample(&text, "tollgate_journal_rejected_events"), Some(1.0));
    assert_eq!(sample(&text, "tollgate_journal_bytes"), Some(4096.0));
    assert_eq!(sample(&text, "tollgate_journal_notes_dropped_total"), Some(2.0));
    assert_eq!(sample(&text, "tollgate_held_usd"), Some(0.5));
    assert_eq!(sample(&text, "tollgate_snapshot_age_seconds"), Some(1.5));
    assert!(sample(&text, "tollgate_keys_loaded").unwrap() > 0.0);
}

#[test]
fn an_endpoint_keeps_its_handle_and_their_number_is_bounded() {
    let metrics = Metrics::new().unwrap();
    let first = metrics.endpoint("openai", "/v1/models");
    assert!(Arc::ptr_eq(&first, &metrics.endpoint("openai", "/v1/models")));
    assert!(!Arc::ptr_eq(&first, &metrics.endpoint("azure", "/v1/models")));

    let full: HashMap<EndpointName, _> = (0..MAX_ENDPOINTS)
        .map(|n| (("openai", &*Box::leak(n.to_string().into_boxed_str())), Arc::clone(&first)))
        .collect();
    metrics.endpoints.store(Arc::new(full));
    let other = metrics.endpoint("openai", "/one/too/many");
    assert!(Arc::ptr_eq(&other, &metrics.endpoint("openai", "/another")));
    other.finished(&finished(200, &Usage::default()));
    let series = r#"tollgate_requests_total{endpoint="other",provider="other",status_class="2xx"}"#;
    assert_eq!(sample(&metrics.render(), series), Some(1.0));
}

#[test]
fn a_negative_cost_does_not_lower_the_counter() {
    let metrics = Metrics::new().unwrap();
    let usage = Usage::default();
    let endpoint = metrics.endpoint("openai", "/v1/models");
    endpoint.finished(&finished(200, &usage));
    endpoint.finished(&Finished { cost: Money::from_units(-1), unpriced: true, ..finished(200, &usage) });
    let text = metrics.render();
    assert_eq!(sample(&text, r#"tollgate_cost_usd_total{provider="openai"}"#), Some(1.25));
    assert_eq!(sample(&text, r#"tollgate_unpriced_requests_total{provider="openai"}"#), Some(1.0));
}
