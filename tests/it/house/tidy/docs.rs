//! What stands twice, in the code and in what people read, says the same.

use std::collections::BTreeSet;

use super::holds;
use super::source::{Source, is_name, read, tree};

/// The promises, by the names they have everywhere.
const GUARANTEES: [&str; 10] = [
    "Ordered",
    "Reliable",
    "Once",
    "Resumable",
    "Lineage",
    "Honest",
    "Bookmarkable",
    "Bounded",
    "Isolated",
    "Mannered",
];

/// Words in capitals in `grpc/error.rs` that are no reasons: the causes of a gap.
const CAUSES: [&str; 3] = ["TRIMMED", "SHARD_EXPIRED", "STREAM_REPLACED"];

/// The names of `text` that begin with `prefix` and go on with letters and underscores.
fn names_after(text: &str, prefix: &str) -> BTreeSet<String> {
    let name = |at: usize| {
        text[at + prefix.len()..].chars().take_while(|c| is_name(*c)).collect::<String>()
    };
    text.match_indices(prefix).map(|(at, _)| name(at)).filter(|name| !name.is_empty()).collect()
}

/// The reasons that a file of `src/grpc` gives: in the two files that refuse every word in
/// capitals, elsewhere what a `Refusal` is made of.
fn reasons_given(file: &Source) -> BTreeSet<String> {
    let refuses = file.path.ends_with("grpc/error.rs") || file.path.ends_with("/request.rs");
    let capital =
        |text: &str| text.len() > 3 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    let made = |at: usize| {
        let before = file.code[..at].trim_end();
        before.ends_with("Limit(") || before.ends_with("Malformed(")
    };
    let reasons =
        file.texts().into_iter().filter(|(at, text)| capital(text) && (refuses || made(*at)));
    reasons.map(|(_, text)| text).filter(|text| !CAUSES.contains(&text.as_str())).collect()
}

/// The reasons that the contract names: those in backquotes behind a status.
fn reasons_promised(proto: &str) -> BTreeSet<String> {
    const CODES: [&str; 8] = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "OUT_OF_RANGE",
        "FAILED_PRECONDITION",
        "ABORTED",
        "UNAVAILABLE",
        "RESOURCE_EXHAUSTED",
        "DATA_LOSS",
    ];
    let joined = proto
        .lines()
        .map(|line| line.trim().trim_start_matches("//").trim())
        .collect::<Vec<_>>()
        .join(" ");
    let mut reasons: BTreeSet<String> =
        CODES.iter().flat_map(|code| names_after(&joined, &format!("{code} `"))).collect();
    // `TOKEN_...` stands for several.
    reasons.retain(|reason| !reason.ends_with('_'));
    reasons
}

/// The reasons that have a heading of their own.
fn reasons_explained(errors: &str) -> BTreeSet<String> {
    errors
        .lines()
        .filter(|line| line.starts_with("## "))
        .flat_map(|line| names_after(line, "`"))
        .collect()
}

fn protos() -> String {
    let files =
        ["events", "position", "record", "server_service", "shard_service", "stream_service"];
    files.map(|file| read(&format!("proto/shardstream/v1/{file}.proto"))).concat()
}

fn differences(
    what: &str,
    of_code: &BTreeSet<String>,
    of_docs: &BTreeSet<String>,
    docs: &str,
) -> Vec<String> {
    let missing =
        of_code.difference(of_docs).map(|name| format!("{docs} lacks the {what} `{name}`"));
    let surplus = of_docs
        .difference(of_code)
        .map(|name| format!("{docs} has the {what} `{name}`, which is none"));
    missing.chain(surplus).collect()
}

#[test]
fn every_reason_of_an_error_is_explained_and_no_other() {
    let given: BTreeSet<String> = tree("src/grpc").iter().flat_map(reasons_given).collect();
    let explained = reasons_explained(&read("docs/errors.md"));
    holds(differences("reason", &given, &explained, "docs/errors.md"));
    let promised = reasons_promised(&protos());
    holds(
        promised
            .difference(&explained)
            .map(|reason| format!("the proto names `{reason}`, which is never given"))
            .collect(),
    );
}

/// Those of the promises that `text` does not have behind `mark`.
fn guarantees_missing(text: &str, mark: &str) -> Vec<String> {
    let named = names_after(text, mark);
    GUARANTEES
        .iter()
        .filter(|name| !named.contains(**name))
        .map(|name| format!("`{mark}{name}` is missing"))
        .collect()
}

#[test]
fn the_promises_have_the_same_names_everywhere() {
    holds(guarantees_missing(&read("proto/shardstream/v1/shard_service.proto"), "// - "));
    holds(guarantees_missing(&read("ARCHITECTURE.md"), "- **"));
    holds(guarantees_missing(&read("README.md"), "| **"));
}

/// Documents and configurations that name metrics.
const NAMES_METRICS: &[&str] = &["README.md", "docs", "deploy"];

/// The names of metrics in a text; a histogram's and a counter's parts stand for it.
fn metrics_named(text: &str) -> BTreeSet<String> {
    ["shardstream_", "process_"]
        .iter()
        .flat_map(|prefix| {
            let named = names_after(text, prefix).into_iter();
            named.map(move |name| format!("{prefix}{name}"))
        })
        .filter(|name| !name.ends_with('_'))
        .collect()
}

/// The metrics that the page has, by the first column of its tables.
fn metrics_of_the_page(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| metrics_named(row.split('|').nth(1).unwrap_or_default())).collect()
}

/// Those of the names in `text` that are no metric.
fn metrics_unknown(path: &str, text: &str, known: &BTreeSet<String>) -> Vec<String> {
    let is_known = |name: &String| {
        let whole = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        known.contains(name) || whole.is_some_and(|whole| known.contains(whole))
    };
    let unknown = metrics_named(text).into_iter().filter(|name| !is_known(name));
    unknown.map(|name| format!("{path} names the metric `{name}`, which is none")).collect()
}

#[test]
fn the_metrics_page_is_what_the_code_says() {
    let page = shardstream::metrics::page();
    if std::env::var_os("SHARDSTREAM_TEST_WRITE").is_some() {
        std::fs::write(super::source::root().join("docs/metrics.md"), &page).expect("written");
    }
    let hint = "write it again: SHARDSTREAM_TEST_WRITE=1 cargo test --test it metrics_page";
    assert_eq!(read("docs/metrics.md"), page, "{hint}");
}

#[test]
fn every_metric_that_a_document_names_exists() {
    let known = metrics_of_the_page(&read("docs/metrics.md"));
    assert!(known.len() > 25, "the page has rows");
    let texts = NAMES_METRICS.iter().flat_map(|place| super::source::texts(place));
    holds(texts.flat_map(|(path, text)| metrics_unknown(&path, &text, &known)).collect());
}

/// The methods of `Metrics` that nobody calls: what they measure would stay at zero and be
/// believed.
fn metrics_unmeasured(metrics: &Source, users: &[Source]) -> Vec<String> {
    let of_metrics = metrics.code.find("impl Metrics").map_or("", |at| &metrics.code[at..]);
    let of_metrics = of_metrics.split("\nimpl ").next().unwrap_or_default();
    let methods = names_after(of_metrics, "pub fn ");
    let called = |method: &str| users.iter().any(|file| file.code.contains(&format!(".{method}(")));
    methods
        .iter()
        .filter(|name| *name != "new" && !called(name))
        .map(|name| format!("nobody calls Metrics::{name}"))
        .collect()
}

#[test]
fn every_metric_is_measured() {
    let (metrics, users): (Vec<_>, Vec<_>) =
        tree("src").into_iter().partition(|file| file.path == "src/metrics.rs");
    holds(metrics_unmeasured(&metrics[0], &users));
}

/// The flags in the tables of a text that `config` does not have. It names them by a field, or in
/// quotes.
fn flags_unknown(text: &str, config: &[Source]) -> Vec<String> {
    let tables = text.lines().filter(|line| line.starts_with('|'));
    let flag = |at: usize, line: &str| {
        line[at + 3..]
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect::<String>()
    };
    let flags =
        tables.flat_map(|line| line.match_indices("`--").map(move |(at, _)| flag(at, line)));
    let known = |flag: &str| {
        let (quoted, field) = (format!("\"{flag}\""), flag.replace('-', "_"));
        config.iter().any(|file| file.text.contains(&quoted) || !file.words(&field).is_empty())
    };
    flags.filter(|flag| !known(flag)).map(|flag| format!("there is no flag --{flag}")).collect()
}

#[test]
fn every_flag_in_the_readme_exists() {
    holds(flags_unknown(&read("README.md"), &tree("src/config")));
}

/// The dependencies of a manifest without a comment directly above.
fn dependencies_unexplained(path: &str, manifest: &str) -> Vec<String> {
    let (mut inside, mut above, mut broken) = (false, "", Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if inside && line.contains('=') && !line.starts_with('#') && !above.starts_with('#')
        {
            broken.push(format!("{path}: no comment says what this is for: {line}"));
        }
        above = line;
    }
    broken
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifests = ["Cargo.toml", "bench/Cargo.toml", "simulator/Cargo.toml", "fuzz/Cargo.toml"];
    holds(manifests.iter().flat_map(|path| dependencies_unexplained(path, &read(path))).collect());
}

#[test]
fn what_differs_is_found() {
    let refusal = Source::new("src/grpc/error.rs", r#"(Code::NotFound, "NEW_REASON", "text")"#);
    let given = reasons_given(&refusal);
    assert_eq!(given, BTreeSet::from(["NEW_REASON".into()]));
    let elsewhere = Source::new(
        "src/grpc/context.rs",
        r#"CallError::Limit("A_LIMIT", x); let code = "NOT_FOUND";"#,
    );
    assert_eq!(reasons_given(&elsewhere), BTreeSet::from(["A_LIMIT".into()]));

    let explained = reasons_explained("## `OLD_REASON`\n\nOf `NEW_REASON` it only speaks.\n");
    assert_eq!(differences("reason", &given, &explained, "errors.md").len(), 2);
    let promised = reasons_promised(
        "  // Unset is INVALID_ARGUMENT\n  // `A_MALFORMED`, or `TOKEN_...`; NOT_FOUND `TOKEN_...`.",
    );
    assert_eq!(promised, BTreeSet::from(["A_MALFORMED".into()]));

    assert_eq!(guarantees_missing("- **Ordered.** Of Once it only speaks.", "- **").len(), 9);
    let page = "| `shardstream_rpc_seconds{code}` | histogram | of `shardstream_other` |\n";
    let known = metrics_of_the_page(page);
    assert_eq!(known, BTreeSet::from(["shardstream_rpc_seconds".into()]));
    let query = "rate(shardstream_rpc_seconds_count[5m]) / shardstream_gone_total > process_x";
    assert_eq!(metrics_unknown("alerts.yaml", query, &known).len(), 2);

    let metrics =
        Source::new("src/metrics.rs", "impl Metrics { pub fn gap(&self) {} pub fn lag(&self) {} }");
    let user = Source::new("src/hub.rs", "fn f() { m.gap(1); } // m.lag(2)");
    assert_eq!(metrics_unmeasured(&metrics, &[user]), ["nobody calls Metrics::lag"]);

    let config = [Source::new("src/config/args.rs", r#"listen: A, x: B = "max-streams""#)];
    let table = "| `--listen` | `--max-streams` | `--gone-for-good` |\nand `--not-in-a-table`";
    assert_eq!(flags_unknown(table, &config), ["there is no flag --gone-for-good"]);

    let manifest = "[features]\nx = []\n[dependencies]\n# Why.\na = \"1\"\nb = \"1\"\n[dev-dependencies]\nc = \"1\"\n";
    assert_eq!(dependencies_unexplained("Cargo.toml", manifest).len(), 2);
}

/// The tests that a text names as `file::name`, with the file that should have each.
fn tests_named(text: &str) -> BTreeSet<(String, String)> {
    let quoted = text.split('`').skip(1).step_by(2);
    let named = quoted.filter_map(|name| name.split_once("::"));
    let path = |file: &str| match file.strip_prefix("simulator/") {
        Some(file) => format!("simulator/tests/model/{file}.rs"),
        None => format!("tests/it/{file}.rs"),
    };
    named.map(|(file, test)| (path(file), test.to_owned())).collect()
}

/// The rows of a document's tables that name no test, and the tests that they name and nobody has.
fn rows_untested(path: &str, text: &str) -> Vec<String> {
    let missing = tests_named(text)
        .into_iter()
        .filter(|(file, test)| !read(file).contains(&format!("fn {test}(")));
    let missing =
        missing.map(|(file, test)| format!("{path} names `{test}`, which is not in {file}"));
    // A heading is what a rule stands below.
    let below = text.lines().skip(1).chain([""]);
    let rows = text
        .lines()
        .zip(below)
        .filter(|(line, below)| line.starts_with("| ") && !below.starts_with("|-"));
    let untested = rows.map(|(line, _)| line).filter(|line| !line.contains("::"));
    missing.chain(untested.map(|line| format!("{path}: no test: {line}"))).collect()
}

#[test]
fn every_line_of_the_limits_names_a_test_that_exists() {
    holds(rows_untested("docs/limits.md", &read("docs/limits.md")));
}

#[test]
fn every_behaviour_of_the_simulator_names_a_test_that_exists() {
    let text = read("docs/simulator.md");
    assert!(tests_named(&text).len() > 50, "the tables name their tests");
    holds(rows_untested("docs/simulator.md", &text));
    // And every test of the model is a behaviour that somebody may look up.
    let untold = tree("simulator/tests").into_iter().flat_map(|file| {
        let names = names_after(&file.text, "#[test]\nfn ");
        let untold = names.into_iter().filter(|name| !text.contains(&format!("::{name}`")));
        untold.map(|name| format!("docs/simulator.md lacks `{name}`")).collect::<Vec<_>>()
    });
    holds(untold.collect());
}

#[test]
fn every_pitfall_and_bug_names_a_test_that_exists() {
    let readme = read("tests/it/README.md");
    let (_, table) = readme.split_once("## Known pitfalls and bugs").expect("a table of them");
    assert!(tests_named(table).len() > 60, "the table names its tests");
    holds(rows_untested("tests/it/README.md", table));
    let bad = "| Wrong | Seen | `house/tidy/docs::not_there` |\n| Wrong | Seen | |\n";
    assert_eq!(rows_untested("README.md", bad).len(), 2);
}

/// The types and files in a glossary's tables that `src` does not have.
fn glossary_unknown(glossary: &str, sources: &[Source]) -> Vec<String> {
    let defined = |name: &str| {
        let kinds = ["struct", "enum", "trait", "type"].map(|kind| format!("{kind} {name}"));
        sources.iter().any(|file| {
            let whole = |at: usize, kind: &str| !file.code[at + kind.len()..].starts_with(is_name);
            kinds.iter().any(|kind| file.code.match_indices(kind).any(|(at, _)| whole(at, kind)))
        })
    };
    let senses = glossary
        .lines()
        .filter(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(2));
    let named = senses.flat_map(|sense| sense.split('`').skip(1).step_by(2));
    let is_type = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase()) && name.chars().all(is_name)
    };
    named
        .filter(|name| match name.starts_with("src/") {
            true => !sources.iter().any(|file| file.path == *name),
            false => is_type(name) && *name != name.to_ascii_uppercase() && !defined(name),
        })
        .map(|name| format!("GLOSSARY.md: there is no {name}"))
        .collect()
}

#[test]
fn the_glossary_names_what_there_is() {
    let sources = [Source::new("src/hub.rs", "pub struct Hub; pub struct Laneway;")];
    let bad = "| hub | The hub. `Hub` `src/hub.rs` |\n| lane | Of `Shard`. `Lane` `src/hub/shard/lane.rs` |";
    let unknown = ["Shard", "Lane", "src/hub/shard/lane.rs"]
        .map(|name| format!("GLOSSARY.md: there is no {name}"));
    assert_eq!(glossary_unknown(bad, &sources), unknown);
    holds(glossary_unknown(&read("GLOSSARY.md"), &tree("src")));
}
