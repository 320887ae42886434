//! The benchmark, tiny: that it measures everything it promises, not how fast anything is.

use std::process::{Command, Output};

use serde_json::Value;

/// Runs it with nothing in its environment but a search path.
fn bench(path: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream-bench"));
    command.args(arguments).env_clear().env("PATH", path);
    command.output().expect("the program runs")
}

fn report(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn rows<'a>(report: &'a Value, of: &str) -> &'a [Value] {
    report[of].as_array().expect("rows")
}

#[track_caller]
fn is_measured(spread: &Value) {
    for end in ["median", "min", "max"] {
        let value = spread[end].as_f64();
        assert!(value.is_some_and(|value| value.is_finite() && value > 0.0), "{end}: {spread}");
    }
}

#[test]
fn every_figure_is_there_and_every_record_was_counted() {
    let small = ["--rounds", "1", "--scale", "0.005", "--skip-peers", "--output", "json"];
    let report = report(&bench("/nowhere", &small));
    // The usual pages at this scale, at least one, of 1,000 records, for each subscriber; none
    // where shards are idle.
    let expected = [
        ("grpc", 2_000),
        ("grpc-large", 2_000),
        ("grpc-decode", 1_000),
        ("grpc-64", 64_000),
        ("grpc-64-large", 64_000),
        ("sdk", 1_000),
        ("grpc-pages", 2_000),
        ("sdk-pages", 2_000),
        ("grpc-idle", 0),
        ("sdk-idle", 0),
        ("grpc-keys", 4_000),
        ("grpc-decode-keys", 2_000),
        ("grpc-64-keys", 64_000),
        ("sdk-keys", 2_000),
    ];
    let counted: Vec<(&str, u64)> = rows(&report, "contenders")
        .iter()
        .map(|row| {
            (row["name"].as_str().expect("a name"), row["records"].as_u64().expect("a count"))
        })
        .collect();
    assert_eq!(counted, expected);
    for row in rows(&report, "contenders") {
        let (is_client, is_idle) =
            (row["name"].as_str().expect("a name").starts_with("grpc"), row["records"] == 0);
        let measures: &[&str] = match (is_client, is_idle) {
            (_, true) => &["cpu_ns_per_look", "looks_per_second"],
            (true, false) => {
                &["records_per_second", "cpu_ns_per_record", "server_cpu_ns_per_record"]
            }
            (false, false) => &["records_per_second", "cpu_ns_per_record"],
        };
        measures.iter().for_each(|measure| is_measured(&row[measure]));
        if row["name"].as_str().expect("a name").ends_with("-pages") {
            ["delay_us_p50", "delay_us_p99"].iter().for_each(|measure| is_measured(&row[measure]));
        }
    }
    let (measured, missing): (Vec<_>, Vec<_>) =
        rows(&report, "figures").iter().partition(|figure| figure["missing"].is_null());
    measured.iter().for_each(|figure| is_measured(&figure["ratio"]));
    let missing: Vec<_> =
        missing.iter().map(|figure| (&figure["name"], &figure["missing"])).collect();
    let expected =
        [("cpu_to_node", "node"), ("cpu_to_bloop", "bloop"), ("python", "grpc-python, bloop")];
    assert_eq!(missing.len(), expected.len(), "{missing:?}");
    for (missing, expected) in missing.iter().zip(expected) {
        assert!(missing.0 == expected.0 && missing.1 == expected.1, "{missing:?}");
    }
    assert_eq!(measured.len() + missing.len(), 10);
}

#[test]
fn what_the_machine_lacks_is_named_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let peers = folder.path().to_str().expect("UTF-8");
    let output =
        bench("/nowhere", &["--only", "node,bloop", "--peers-dir", peers, "--output", "json"]);
    let report = report(&output);
    assert!(rows(&report, "contenders").is_empty());
    for (name, program) in [("node", "node cannot be run"), ("bloop", "python3 cannot be run")] {
        let row = rows(&report, "missing").iter().find(|row| row["name"] == name).expect("named");
        assert!(row["missing"].as_str().expect("a reason").starts_with(program), "{row}");
    }
    let left_out = rows(&report, "missing").iter().find(|row| row["name"] == "sdk").expect("named");
    assert_eq!(left_out["missing"], "left out by --only");
}

#[test]
fn an_unknown_contender_is_a_mistake_of_usage() {
    let output = bench("/nowhere", &["--only", "grpc,nobody"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains("\"nobody\"") && said.contains("grpc-64"),
        "{said}"
    );
}
