//! The house's rules, as tests over the source text. ARCHITECTURE.md says what each is for.
//!
//! A rule is a function from a file to what breaks it there, one test that runs it over the tree,
//! and one bad sample in [`bad`] that it has to find: a rule that cannot fail proves nothing.

mod bad;
mod docs;
mod prose;
mod rooms;
mod source;
mod width;

use source::{Source, tree};

/// Modules, and what each may name of the others.
type Layers = &'static [(&'static str, &'static [&'static str])];

/// What a module of the crate may name of the others. From the bottom up: each names only what
/// stands above its line.
const LAYERS: Layers = &[
    ("exit", &[]),
    ("limits", &[]),
    ("model", &[]),
    ("pb", &[]),
    ("descriptors", &[]),
    ("systemd", &[]),
    ("signals", &["exit"]),
    ("clock", &["model"]),
    ("lineage", &["model"]),
    ("metrics", &["model"]),
    ("held_bytes", &["metrics"]),
    ("access", &["model"]),
    ("peer_shares", &["access"]),
    ("config", &["access", "exit", "limits", "model"]),
    ("telemetry", &["config", "metrics"]),
    ("tls", &["clock", "config", "metrics", "model"]),
    ("supervised", &["metrics"]),
    ("traces", &["clock", "config", "metrics", "model", "supervised", "tls"]),
    ("audit", &["access", "clock", "config", "metrics", "model", "supervised"]),
    ("admin", &["clock", "metrics", "supervised", "tls"]),
    ("upstream", &["model"]),
    ("encode", &["held_bytes", "model", "pb"]),
    (
        "hub",
        &[
            "clock",
            "encode",
            "held_bytes",
            "limits",
            "lineage",
            "metrics",
            "model",
            "peer_shares",
            "supervised",
            "upstream",
        ],
    ),
    ("token", &["model"]),
    ("session", &["access", "clock", "hub", "metrics", "model"]),
    ("subscription", &["clock", "encode", "hub", "lineage", "model", "token", "upstream"]),
    (
        "grpc",
        &[
            "access",
            "audit",
            "clock",
            "encode",
            "held_bytes",
            "hub",
            "limits",
            "lineage",
            "metrics",
            "model",
            "pb",
            "session",
            "peer_shares",
            "subscription",
            "tls",
            "token",
            "traces",
            "upstream",
        ],
    ),
    ("cli", &["clock", "config", "exit", "model", "pb", "signals", "tls"]),
    ("dev", &[]),
    (
        "app",
        &[
            "access",
            "admin",
            "audit",
            "cli",
            "clock",
            "config",
            "descriptors",
            "dev",
            "exit",
            "grpc",
            "hub",
            "limits",
            "metrics",
            "model",
            "session",
            "signals",
            "supervised",
            "systemd",
            "telemetry",
            "tls",
            "traces",
            "upstream",
        ],
    ),
    ("main", &["app", "config", "exit", "telemetry"]),
    ("bench", &["app", "cli", "clock", "config", "exit", "pb", "telemetry"]),
    ("simulator", &[]),
];

/// The code of all packages: the server's crate, and the benchmark and the simulator, each of which
/// is a module of its own in [`LAYERS`].
const CODE: &[&str] = &["src", "bench/src", "simulator/src"];

/// Crates that stay behind a border: how their names begin, and which paths may know them.
const BORDERS: &[(&str, &[&str])] = &[
    ("aws_sdk_", &["src/upstream/", "bench/src/sdk.rs"]),
    ("aws_config", &["src/upstream/"]),
    ("aws_sigv4", &["src/upstream/"]),
    ("aws_smithy", &["src/upstream/"]),
    ("aws_types", &["src/upstream/"]),
    ("rustls_pki_types", &["src/upstream/", "src/tls/"]),
    ("webpki", &["src/upstream/", "src/tls/"]),
    ("rustls::", &["src/tls/", "src/grpc/transport/handshake.rs"]),
    (
        "tokio_rustls",
        &["src/tls/", "src/grpc/transport/handshake.rs", "src/grpc/transport/connection.rs"],
    ),
    ("aws_credential_types", &["src/upstream/"]),
    (
        "pb::",
        &[
            "src/grpc/",
            "src/encode.rs",
            "src/encode/",
            "src/pb.rs",
            "src/cli/",
            "src/cli.rs",
            "bench/src/client",
        ],
    ),
    (
        "tonic",
        &[
            "src/grpc/",
            "src/pb.rs",
            "src/cli/",
            "src/cli.rs",
            "src/app.rs",
            "src/app/",
            "src/traces/exporter.rs",
            "bench/src/client",
        ],
    ),
    ("nix", &["src/descriptors.rs", "src/grpc/transport/socket.rs", "bench/src/clock.rs"]),
    ("axum", &["src/admin.rs", "src/dev/simulated", "bench/src/mock"]),
    ("dynoxide", &["src/dev.rs", "src/dev/"]),
    ("rusqlite", &["src/dev.rs", "src/dev/"]),
    ("shardstream_simulator", &["src/dev/simulated"]),
    ("clap", &["src/config.rs", "src/config/", "bench/src/args.rs", "bench/src/main.rs"]),
    ("prometheus_client", &["src/metrics.rs", "src/metrics/"]),
];

/// Files that decide and never wait: how their paths begin.
const PURE: &[&str] = &[
    "bench/src/figures.rs",
    "bench/src/pages.rs",
    "bench/src/plan.rs",
    "bench/src/sample.rs",
    "bench/src/spread.rs",
    "simulator/src",
    "src/audit/event.rs",
    "src/audit/pace.rs",
    "src/model",
    "src/lineage",
    "src/grpc/transport/cancellation_budget.rs",
    "src/grpc/transport/frames.rs",
    "src/hub/caller_use.rs",
    "src/hub/discovery/shard_table.rs",
    "src/hub/discovery/catalog.rs",
    "src/hub/discovery/catalog/responses.rs",
    "src/hub/discovery/catalog/schedule.rs",
    "src/hub/discovery/catalog/child_search.rs",
    "src/hub/shard",
    "src/hub/rate_limit.rs",
    "src/hub/discovery/paging.rs",
    "src/hub/discovery/listings/cache.rs",
    "src/hub/discovery/listings/queue.rs",
    "src/hub/discovery/listings/expiring_map.rs",
    "src/session/state.rs",
    "src/tls/validity.rs",
    "src/traces/context.rs",
    "src/traces/messages.rs",
    "src/token",
    "src/subscription/token_pacing.rs",
    "src/subscription/frontier.rs",
    "src/subscription/frontier/ledger.rs",
    "src/subscription/merge.rs",
    "src/subscription/replaced_stream.rs",
];

/// Lines of a file in `src`, its tests aside.
const MOST_LINES: usize = 500;

/// Lines of `main`, which is a checklist.
const MOST_LINES_OF_MAIN: usize = 80;

/// Fails with everything that breaks a rule.
#[track_caller]
fn holds(broken: Vec<String>) {
    assert!(broken.is_empty(), "\n  {}\n", broken.join("\n  "));
}

#[track_caller]
fn holds_in(folders: &[&str], rule: impl Fn(&Source) -> Vec<String>) {
    holds(folders.iter().flat_map(|folder| tree(folder)).flat_map(|file| rule(&file)).collect());
}

/// Where the file has one of `needles`.
fn has(file: &Source, needles: &[&str], why: &str) -> Vec<String> {
    let at = |needle: &&str| {
        file.begins(needle).into_iter().map(|at| (at, (*needle).to_owned())).collect::<Vec<_>>()
    };
    needles
        .iter()
        .flat_map(at)
        .map(|(at, needle)| format!("{}: `{needle}`: {why}", file.at(at)))
        .collect()
}

/// As [`has`], for whole words.
fn has_words(file: &Source, words: &[&str], why: &str) -> Vec<String> {
    let at = |word: &&str| {
        file.words(word).into_iter().map(|at| (at, (*word).to_owned())).collect::<Vec<_>>()
    };
    words
        .iter()
        .flat_map(at)
        .map(|(at, word)| format!("{}: `{word}`: {why}", file.at(at)))
        .collect()
}

fn is_below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

/// The other modules of the crate that the file names, by `crate::`, from other crates by the
/// crate's name, or by `super::` as far up as the crate. Of the other packages only what they name of
/// the crate.
fn imports(file: &Source) -> Vec<(usize, String)> {
    let mut named = file.names_in("shardstream");
    if matches!(file.module(), "bench" | "simulator") {
        return named;
    }
    let depth = file.path.matches('/').count();
    named.extend(file.names_in("crate"));
    named.extend(file.names_in(&vec!["super"; depth].join("::")));
    named.retain(|(_, name)| name != file.module() && name != "super");
    named
}

fn imports_against_the_layers(file: &Source) -> Vec<String> {
    if file.module() == "lib" {
        return vec![];
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(module, _)| *module == file.module()) else {
        return vec![format!(
            "{}: the module `{}` has no line in LAYERS",
            file.path,
            file.module()
        )];
    };
    // What begins with a capital is an item that lies at the crate's root, where there are none but
    // macros.
    let imports = imports(file).into_iter().filter(|(_, name)| !allowed.contains(&name.as_str()));
    imports
        .map(|(at, name)| format!("{}: `{}` may not name `{name}`", file.at(at), file.module()))
        .collect()
}

#[test]
fn imports_point_one_way() {
    holds_in(CODE, imports_against_the_layers);
}

/// What names something that does not stand above its line.
fn layers_without_order(layers: Layers) -> Vec<String> {
    let below = |at: usize, name: &&str| layers[..at].iter().any(|(module, _)| module == name);
    let rows = layers.iter().enumerate();
    rows.filter(|(at, (_, names))| !names.iter().all(|name| below(*at, name)))
        .map(|(_, (module, _))| format!("`{module}` names what does not stand above it"))
        .collect()
}

#[test]
fn the_layers_have_an_order() {
    assert_eq!(layers_without_order(LAYERS), Vec::<String>::new());
}

fn foreign_crates(file: &Source) -> Vec<String> {
    let beyond = BORDERS.iter().filter(|(_, places)| !is_below(&file.path, places));
    beyond
        .flat_map(|(prefix, places)| {
            has(file, &[prefix], &format!("only in {}", places.join(", ")))
        })
        .collect()
}

#[test]
fn aws_types_stop_at_upstream_and_protobuf_types_at_grpc_and_the_encoder() {
    holds_in(CODE, foreign_crates);
}

fn impurities(file: &Source) -> Vec<String> {
    if !is_below(&file.path, PURE) {
        return vec![];
    }
    let words =
        ["async", "await", "tokio", "futures", "Instant::now", "SystemTime", "elapsed", "thread"];
    has_words(file, &words, "this file is pure: it decides, and *now* is an argument")
}

#[test]
fn what_decides_is_pure() {
    for path in PURE {
        let is_there =
            CODE.iter().flat_map(|folder| tree(folder)).any(|file| file.path.starts_with(path));
        assert!(is_there, "{path} is no file any more");
    }
    holds_in(CODE, impurities);
}

/// Clocks that a paused runtime does not stop. `dev` names its tables by the wall clock and is no
/// part of the service.
fn real_clocks(file: &Source) -> Vec<String> {
    if is_below(&file.path, &["src/clock.rs", "src/dev/"]) {
        return vec![];
    }
    let mut broken = has_words(file, &["SystemTime"], "only src/clock.rs reads the wall clock");
    broken.extend(has(file, &["std::time::Instant::now", "thread::sleep"], "time is tokio::time"));
    let tokios = file.names_in("tokio::time").iter().any(|(_, name)| name == "Instant");
    let asked = file.words("Instant::now").into_iter().filter(|_| !tokios);
    broken.extend(asked.map(|at| {
        format!("{}: `Instant::now` of the standard library: time is tokio::time", file.at(at))
    }));
    broken
}

#[test]
fn time_is_tokios() {
    holds_in(CODE, real_clocks);
}

/// Chance that no seed repeats. `app` draws the seed and the lease ids; `cli` is a client and no
/// part of the service.
fn unseeded_chance(file: &Source) -> Vec<String> {
    if is_below(&file.path, &["src/app.rs", "src/app/", "src/cli.rs", "src/cli/"]) {
        return vec![];
    }
    let drawn = file.names_in("fastrand").into_iter().filter(|(_, name)| name != "Rng");
    let drawn = drawn.map(|(at, name)| {
        format!("{}: `fastrand::{name}`: chance comes from a seeded Rng", file.at(at))
    });
    drawn
        .chain(has(file, &["fastrand::Rng::new", "getrandom"], "chance comes from a seeded Rng"))
        .collect()
}

#[test]
fn chance_is_seeded() {
    holds_in(CODE, unseeded_chance);
}

fn unbounded_channels(file: &Source) -> Vec<String> {
    has(file, &["unbounded", "std::sync::mpsc", "mpsc::channel()"], "every channel is bounded")
}

#[test]
fn every_channel_is_bounded() {
    holds_in(CODE, unbounded_channels);
}

/// Locks whose guards may live across an await.
fn awaited_locks(file: &Source) -> Vec<String> {
    let is_lock = |name: &str| matches!(name, "Mutex" | "RwLock");
    let locks = file
        .names_in("tokio::sync")
        .into_iter()
        .chain(file.names_in("std::sync"))
        .filter(|(_, name)| is_lock(name));
    locks
        .map(|(at, name)| format!("{}: `{name}`: locks are parking_lot's, and short", file.at(at)))
        .collect()
}

#[test]
fn locks_are_short() {
    holds_in(CODE, awaited_locks);
}

fn loose_tasks(file: &Source) -> Vec<String> {
    has(
        file,
        &["tokio::spawn", "task::spawn", "thread::spawn", "JoinSet"],
        "tasks start through the tracker",
    )
}

#[test]
fn tasks_start_through_one_tracker() {
    holds_in(CODE, loose_tasks);
}

/// The calls of a connection, which `stalled_calls` starts, have spans of their own.
fn spanless_tasks(file: &Source) -> Vec<String> {
    if is_below(&file.path, &["src/grpc/transport/stalled_calls.rs", "bench/src/"]) {
        return vec![];
    }
    let spanless = file.begins(".spawn(").into_iter().filter(|at| {
        let statement = file.code[*at..].split(';').next().unwrap_or_default();
        let thread = file.code[..*at].ends_with("name(name.to_owned())");
        !thread && !statement.contains(".instrument(")
    });
    spanless.map(|at| format!("{}: a task without a span", file.at(at))).collect()
}

#[test]
fn every_task_has_a_span() {
    holds_in(CODE, spanless_tasks);
}

/// Files that start tasks which end with what they are for, or with the program.
const PASSING: &[&str] = &[
    // A connection and its calls, whose panics are caught at each call.
    "src/grpc/transport/",
    // One board of a stream's shards; those who wait for it have the next one made.
    "src/hub/watching.rs",
    // Signals, which end the program.
    "src/cli/interrupt.rs",
    // The demo: whoever looks at it sees that it stands still.
    "src/app/dev.rs",
    "src/dev/",
    "bench/src/",
];

fn tasks_that_fall(file: &Source) -> Vec<String> {
    let goes_on = ["restarted(", "survived("].iter().any(|how| !file.begins(how).is_empty());
    if goes_on || is_below(&file.path, PASSING) {
        return vec![];
    }
    let tasks = file.begins("tasks.spawn(").into_iter();
    let tasks = tasks.map(|at| format!("{}: a panic ends this task for good", file.at(at)));
    tasks.collect()
}

#[test]
fn long_tasks_go_on_after_a_panic() {
    holds_in(CODE, tasks_that_fall);
}

fn unexplained_selects(file: &Source) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut broken = Vec::new();
    for at in file.words("select!") {
        let arms = file.code[at..]
            .trim_start_matches(|character| character != '{')
            .trim_start_matches('{');
        if !arms.trim_start().starts_with("biased;") {
            broken.push(format!("{}: `select!` without `biased;`", file.at(at)));
        }
        let line = file.line(at) - 1;
        let above = &lines[line.saturating_sub(3)..line];
        let comments = above.iter().filter(|line| line.trim_start().starts_with("//"));
        if !comments.into_iter().any(|line| line.to_lowercase().contains("cancel")) {
            broken.push(format!(
                "{}: no comment says why each event of this `select!` may be cancelled",
                file.at(at)
            ));
        }
    }
    broken
}

#[test]
fn every_select_has_an_order_and_says_why_it_may_be_cancelled() {
    holds_in(CODE, unexplained_selects);
}

fn environment(file: &Source) -> Vec<String> {
    if is_below(&file.path, &["src/config.rs", "src/config/", "bench/src/args.rs"]) {
        return vec![];
    }
    has(file, &["std::env", "env::var", "env::args"], "only `config` reads the environment")
}

#[test]
fn only_config_reads_the_environment() {
    holds_in(CODE, environment);
}

/// Every RPC has its stream from `grpc/stream_resolver`, and streams that the client commands name
/// are no streams of the server. What that door gives cannot be made outside the hub.
fn streams_named_elsewhere(file: &Source) -> Vec<String> {
    let doors: &[(&[&str], &[&str])] = &[
        (
            &["NamedStream::parse", "NamedStream::in_token"],
            &[
                "src/hub/stream_names.rs",
                "src/grpc/request.rs",
                "src/grpc/stream_service/subscribe.rs",
            ],
        ),
        (&["listings().resolve(", "sessions.enter("], &["src/grpc/stream_resolver.rs"]),
    ];
    let outside = doors.iter().filter(|(_, places)| !is_below(&file.path, places));
    outside.flat_map(|(names, _)| has(file, names, "streams are named through one door")).collect()
}

#[test]
fn streams_are_named_through_one_door() {
    holds_in(CODE, streams_named_elsewhere);
}

fn prints(file: &Source) -> Vec<String> {
    if is_below(&file.path, &["src/main.rs", "src/cli.rs", "src/cli/"]) {
        return vec![];
    }
    has(file, &["println!", "print!"], "only `main` and `cli` print")
}

#[test]
fn only_main_and_the_commands_print() {
    holds_in(CODE, prints);
}

/// Looks at tests too.
fn unfinished(file: &Source) -> Vec<String> {
    let found = |needle: &str| {
        file.code_with_tests.match_indices(needle).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let needles = ["#[ignore", "should_panic", "todo!", "unimplemented!", "dbg!"];
    let places =
        needles.iter().flat_map(|needle| found(needle).into_iter().map(move |at| (at, needle)));
    places
        .map(|(at, needle)| {
            format!("{}: `{needle}`: what does not run proves nothing", file.at(at))
        })
        .collect()
}

#[test]
fn nothing_is_left_undone_or_ignored() {
    holds_in(&["src", "tests", "bench"], unfinished);
}

fn long_files(file: &Source) -> Vec<String> {
    let lines = file.text.lines().count().saturating_sub(file.test_lines);
    let most = if file.path == "src/main.rs" { MOST_LINES_OF_MAIN } else { MOST_LINES };
    let broken = (lines > most)
        .then(|| format!("{}: {lines} lines without tests, {most} at most", file.path));
    broken.into_iter().collect()
}

#[test]
fn files_are_short() {
    holds_in(CODE, long_files);
}
