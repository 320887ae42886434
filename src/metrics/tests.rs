//! Names, labels and how long what is counted is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;

fn lines(metrics: &Metrics) -> Vec<String> {
    metrics.render().lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
}

#[test]
fn names_and_labels_are_as_documented() {
    let metrics = Metrics::new();
    let arn =
        StreamArn::parse("arn:aws:dynamodb:us-east-1:1:table/Orders/stream/label").expect("an ARN");
    metrics.upstream_call("GetRecords", "ok");
    metrics.throttled("GetRecords");
    metrics.iterator_renewed();
    metrics.gap("trimmed", true);
    metrics.unreadable();
    metrics.delivered(&arn, 3, 700);
    let mut lags = [metrics.lag(&arn), metrics.lag(&arn), metrics.lag(&arn)];
    lags[1].set(Duration::from_millis(1_500));
    lags[2].set(Duration::from_millis(200));
    metrics.window_bytes(100);
    metrics.window_bytes(-40);
    metrics.held_bytes("records", 30);
    metrics.limit_rejection("sessions");
    metrics.cancellation_pause();
    metrics.tls_handshake("ok");
    metrics.tls_reload("failed");
    metrics.access_reload("ok");
    metrics.spans("sent", 1);
    metrics.tls_expiry("server", Timestamp::new(1_795_428_000, 0));
    metrics.tls_expiry("client_ca", Timestamp::new(1, 0));
    metrics.tls_expiry("client_ca", None);
    metrics.panic();
    metrics.log_lines_lost(2);
    metrics.rpc("shardstream.v1.ShardService/GetRecords", "OK", 0.02);
    let lines = lines(&metrics);
    let stream = format!("{{stream=\"{arn}\"}}");
    for line in [
        &format!("shardstream_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        "shardstream_upstream_calls_total{operation=\"GetRecords\",result=\"ok\"} 1",
        "shardstream_upstream_throttled_total{operation=\"GetRecords\"} 1",
        "shardstream_iterators_renewed_total 1",
        "shardstream_gaps_total{cause=\"trimmed\",certain=\"true\"} 1",
        "shardstream_unreadable_records_total 1",
        &format!("shardstream_records_delivered_total{stream} 3"),
        &format!("shardstream_delivered_bytes_total{stream} 700"),
        &format!("shardstream_lag_seconds{stream} 1.5"),
        "shardstream_window_bytes 60",
        "shardstream_held_bytes{kind=\"records\"} 30",
        "shardstream_limit_rejections_total{limit=\"sessions\"} 1",
        "shardstream_cancellation_pauses_total 1",
        "shardstream_tls_handshakes_total{result=\"ok\"} 1",
        "shardstream_tls_reloads_total{result=\"failed\"} 1",
        "shardstream_tls_certificate_expiry_timestamp_seconds{certificate=\"server\"} 1795428000",
        "shardstream_panics_total 1",
        "shardstream_log_lines_lost_total 2",
        "shardstream_rpc_duration_seconds_count{method=\"shardstream.v1.ShardService/GetRecords\",code=\"OK\"} 1",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
    }
    drop(lags);
    let without = metrics.render();
    assert!(!without.contains("shardstream_lag_seconds{") && !without.contains("client_ca"));
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_read_no_more_are_forgotten_after_a_while() {
    let metrics = Metrics::new();
    let arn = |name| {
        StreamArn::parse(&format!("arn:aws:dynamodb:us-east-1:1:table/{name}/stream/l"))
            .expect("an ARN")
    };
    let (read, left, again) = (arn("Read"), arn("Left"), arn("Again"));
    let kept = metrics.lag(&read);
    for stream in [&left, &again] {
        drop(metrics.lag(stream));
    }
    for stream in [&read, &left, &again] {
        metrics.delivered(stream, 1, 10);
    }
    let counted = |stream: &StreamArn| {
        let of_it = format!("{{stream=\"{stream}\"}}");
        lines(&metrics)
            .iter()
            .filter(|line| line.contains(&of_it) && line.contains("_total"))
            .count()
    };
    tokio::time::advance(REMEMBERED - Duration::from_secs(1)).await;
    assert_eq!([&read, &left, &again].map(counted), [2, 2, 2]);
    // A new reader, and the end of another, begin the time anew.
    drop(metrics.lag(&again));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!([&read, &left, &again].map(counted), [2, 0, 2]);
    tokio::time::advance(REMEMBERED).await;
    assert_eq!([&read, &left, &again].map(counted), [2, 0, 0]);
    assert_eq!(metrics.of.delivering.streams.remembered(), 0);
    drop(kept);
}

#[test]
fn what_lives_is_counted_until_dropped() {
    let metrics = Metrics::new();
    let held = [metrics.session(), metrics.shard_reader(), metrics.stream("StreamRecords")];
    let mut lanes = metrics.lanes();
    lanes.set(3);
    lanes.set(1);
    let connection = metrics.connection();
    for line in [
        "shardstream_sessions_active 1",
        "shardstream_lanes_active 1",
        "shardstream_shard_readers_active 1",
        "shardstream_streams_active{rpc=\"StreamRecords\"} 1",
        "shardstream_connections_active 1",
    ] {
        assert!(lines(&metrics).iter().any(|found| found == line), "{line}");
    }
    drop((held, connection, lanes));
    let text = lines(&metrics);
    assert!(
        text.iter().filter(|line| line.contains("_active")).all(|line| line.ends_with(" 0")),
        "{text:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_thousand_streams_that_come_and_go_leave_the_scrape_as_it_is() {
    let metrics = Metrics::new();
    let arn = |at: usize| {
        let arn = format!("arn:aws:dynamodb:us-east-1:1:table/Table{at}/stream/label");
        StreamArn::parse(&arn).expect("an ARN")
    };
    let kept = metrics.lag(&arn(0));
    metrics.delivered(&arn(0), 1, 10);
    let before = lines(&metrics).len();
    for at in 1..=1_000 {
        let read = metrics.lag(&arn(at));
        metrics.delivered(&arn(at), 1, 10);
        drop(read);
        if at % 3 == 0 {
            // A client that is slow takes what was read before.
            metrics.delivered(&arn(at - 2), 1, 10);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(lines(&metrics).len(), before + 2 * MOST_REMEMBERED);
    let newest = format!("shardstream_records_delivered_total{{stream=\"{}\"}} 1", arn(1_000));
    assert!(lines(&metrics).contains(&newest), "the newest are remembered");
    tokio::time::advance(REMEMBERED).await;
    assert_eq!(lines(&metrics).len(), before);
    // Also where a slow client takes something much later still.
    metrics.delivered(&arn(7), 1, 10);
    assert_eq!(lines(&metrics).len(), before + 2);
    tokio::time::advance(REMEMBERED).await;
    assert_eq!(lines(&metrics).len(), before);
    drop(kept);
}

/// The names and labels of what is shown: those of a histogram by its own name, without `le`.
fn shown(metrics: &Metrics) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown = BTreeMap::new();
    for line in lines(metrics) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let name = ["_bucket", "_sum", "_count"]
            .into_iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        let labels =
            labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once('='));
        let labels = labels.map(|(label, _)| label.to_owned()).filter(|label| label != "le");
        shown.entry(name.to_owned()).or_insert_with(BTreeSet::new).extend(labels);
    }
    shown
}

#[tokio::test]
async fn everything_that_is_measured_is_shown_as_the_page_says() {
    let (metrics, parts) = Metrics::described();
    let arn = StreamArn::parse("arn:aws:dynamodb:us-east-1:1:table/Orders/stream/label");
    let arn = arn.expect("an ARN");
    // Series with labels come when they are first counted.
    metrics.upstream_call("GetRecords", "ok");
    metrics.throttled("GetRecords");
    metrics.gap("trimmed", true);
    metrics.delivered(&arn, 3, 700);
    let mut lag = metrics.lag(&arn);
    lag.set(Duration::ZERO);
    metrics.held_bytes("records", 30);
    metrics.limit_rejection("sessions");
    metrics.tls_handshake("ok");
    metrics.tls_reload("failed");
    metrics.access_reload("ok");
    metrics.spans("sent", 1);
    metrics.call_denied("not_allowed");
    metrics.token_expiry(Timestamp::new(1_795_428_000, 0));
    metrics.tls_expiry("server", Timestamp::new(1_795_428_000, 0));
    metrics.rpc("shardstream.v1.ShardService/GetRecords", "OK", 0.02);
    drop(metrics.stream("StreamRecords"));
    let described = parts.iter().flat_map(|part| &part.described).map(|described| {
        let labels = described.labels.iter().map(|(label, _)| (*label).to_owned());
        (described.name.clone(), labels.collect())
    });
    assert_eq!(shown(&metrics), described.collect());
}
