//! Every rule finds what it is there to find, and lets pass what only looks like it.

use super::*;

/// What `rule` says of a file at `path`.
#[track_caller]
fn finds(rule: impl Fn(&Source) -> Vec<String>, path: &str, bad: &str, times: usize) {
    let found = rule(&Source::new(path, bad));
    assert_eq!(found.len(), times, "in {path}: {found:#?}");
}

#[test]
fn imports_against_the_layers_are_found() {
    let rule = imports_against_the_layers;
    finds(
        rule,
        "src/hub/shard/lane.rs",
        "use crate::{grpc::context::Context, model::Now, session};",
        2,
    );
    finds(rule, "src/model/id.rs", "fn f() { crate::hub::g() }", 1);
    finds(rule, "src/model.rs", "use super::hub;", 1);
    finds(rule, "src/model/id.rs", "use super::super::hub;", 1);
    finds(rule, "src/model/id.rs", "use super::time;", 0);
    finds(rule, "src/main.rs", "use shardstream::{app::App, hub};", 1);
    finds(rule, "src/novel.rs", "", 1);
    finds(rule, "bench/src/client.rs", "use crate::hub; use shardstream::{hub, pb};", 1);
    finds(
        rule,
        "src/hub/shard/lane.rs",
        "//! crate::grpc\n#[cfg(test)]\nmod tests { use crate::grpc; }",
        0,
    );
}

#[test]
fn foreign_crates_are_found() {
    finds(
        foreign_crates,
        "src/hub.rs",
        "use aws_sdk_dynamodbstreams::Client; use crate::pb; fn f(x: pb::Shard) {}",
        2,
    );
    finds(
        foreign_crates,
        "src/upstream/aws.rs",
        "use aws_sdk_dynamodbstreams::Client; use tonic::Status;",
        1,
    );
    finds(foreign_crates, "src/grpc/wire.rs", "use crate::pb::Shard; use aws_config::Region;", 1);
}

#[test]
fn impurities_are_found() {
    let bad = "use tokio::sync::Notify; async fn f() {} fn g() { Instant::now().elapsed(); }";
    finds(impurities, "src/hub/shard/position.rs", bad, 4);
    finds(impurities, "src/token/bytes.rs", "/// async\nfn asynchronous() {}", 0);
    finds(impurities, "src/hub/reader.rs", bad, 0);
}

#[test]
fn clocks_and_chance_outside_their_places_are_found() {
    finds(
        real_clocks,
        "src/hub.rs",
        "use std::time::Instant; fn f() { Instant::now(); SystemTime::now(); }",
        2,
    );
    finds(
        real_clocks,
        "src/hub.rs",
        "use tokio::time::{Duration, Instant}; fn f() { Instant::now(); }",
        0,
    );
    finds(real_clocks, "src/hub.rs", "fn f() { tokio::time::Instant::now(); }", 0);
    finds(
        unseeded_chance,
        "src/hub.rs",
        "fn f() { fastrand::f64(); fastrand::Rng::with_seed(1); }",
        1,
    );
    finds(unseeded_chance, "src/hub.rs", "fn f() { fastrand::Rng::new(); }", 1);
}

#[test]
fn loose_ends_are_found() {
    finds(
        unbounded_channels,
        "src/hub.rs",
        "let (a, b) = tokio::sync::mpsc::unbounded_channel();",
        1,
    );
    finds(
        awaited_locks,
        "src/hub.rs",
        "use tokio::sync::{Mutex, Notify}; use std::sync::{Arc, RwLock};",
        2,
    );
    finds(awaited_locks, "src/hub.rs", "use tokio::sync::Notify; use parking_lot::Mutex;", 0);
    finds(
        loose_tasks,
        "src/hub.rs",
        "tokio::spawn(f()); tokio::task::spawn_blocking(g); tasks.spawn(h());",
        2,
    );
    finds(
        spanless_tasks,
        "src/hub.rs",
        "tasks.spawn(f()); tasks.spawn(g().instrument(info_span!(\"g\"))); x.instrument(y);",
        1,
    );
}

#[test]
fn unexplained_selects_are_found() {
    let arms = "{\n    () = a => {}\n}";
    finds(unexplained_selects, "src/hub.rs", &format!("tokio::select! {arms}"), 2);
    finds(
        unexplained_selects,
        "src/hub.rs",
        &format!("// All are cancel-safe.\ntokio::select! {arms}"),
        1,
    );
    finds(
        unexplained_selects,
        "src/hub.rs",
        "// All are cancel-safe.\ntokio::select! {\n    biased;\n}",
        0,
    );
    finds(
        unexplained_selects,
        "src/hub.rs",
        "x.cancelled();\n\ntokio::select! {\n    biased;\n}",
        1,
    );
}

#[test]
fn streams_named_round_the_door_are_found() {
    let rule = streams_named_elsewhere;
    let bad = "hub.listings().resolve(&NamedStream::parse(text)?); context.sessions.enter(id);";
    finds(rule, "src/grpc/shard_service/tree.rs", bad, 3);
    finds(rule, "src/grpc/stream_resolver.rs", "self.hub.listings().resolve(named)", 0);
}

#[test]
fn words_out_of_place_are_found() {
    finds(environment, "src/hub.rs", "std::env::var(x); env!(y);", 2);
    finds(environment, "src/config/layers.rs", "std::env::var(x)", 0);
    finds(prints, "src/hub.rs", "println!(); eprintln!();", 1);
    finds(prints, "src/cli/tail.rs", "println!();", 0);
    finds(
        unfinished,
        "src/hub.rs",
        "#[cfg(test)]\nmod tests { #[ignore = \"why\"] #[should_panic] fn f() { todo!() } }",
        3,
    );
    finds(unfinished, "tests/it/x.rs", "fn ignored() { dbg!(1); }", 1);
}

#[test]
fn long_files_are_found() {
    let line = "fn f() {}\n";
    finds(long_files, "src/hub.rs", &line.repeat(501), 1);
    finds(long_files, "src/main.rs", &line.repeat(81), 1);
    finds(
        long_files,
        "src/hub.rs",
        &format!("{}#[cfg(test)]\nmod tests {{\n{}}}", line.repeat(490), line.repeat(50)),
        0,
    );
    finds(long_files, "src/hub/tests.rs", &line.repeat(600), 0);
}

#[test]
fn tasks_that_end_with_a_panic_are_found() {
    let rule = tasks_that_fall;
    finds(rule, "src/app/novel.rs", "fn f() { tasks.spawn(run()); self.tasks.spawn(run()); }", 2);
    finds(rule, "src/app/novel.rs", "fn f() { tasks.spawn(restarted(run)); }", 0);
    finds(rule, "src/hub/watching.rs", "fn f() { tasks.spawn(run()); }", 0);
}
