//! The rooms of the hub stand on one another: none names the hub itself, or what stands on it.

use super::source::{Source, tree};
use super::{Layers, holds, layers_without_order};

/// What a room of the hub may name of the others, from the bottom up.
const ROOMS: Layers = &[
    ("call_permits", &[]),
    ("clocks", &[]),
    ("page_budget", &[]),
    ("permit", &[]),
    ("rate_limit", &[]),
    ("ready_queue", &[]),
    ("registry", &[]),
    ("stream_names", &[]),
    ("supervise", &[]),
    ("timed_call", &[]),
    ("caller_use", &["stream_names"]),
    ("dependencies", &["call_permits", "clocks", "page_budget"]),
    ("shard", &["rate_limit"]),
    ("wake_list", &["ready_queue", "shard"]),
    (
        "discovery",
        &[
            "clocks",
            "dependencies",
            "permit",
            "rate_limit",
            "registry",
            "shard",
            "stream_names",
            "supervise",
            "timed_call",
        ],
    ),
    ("resolver", &["discovery", "stream_names"]),
    (
        "reader",
        &[
            "call_permits",
            "dependencies",
            "discovery",
            "page_budget",
            "registry",
            "shard",
            "stream_names",
            "supervise",
            "timed_call",
            "wake_list",
        ],
    ),
    ("counts", &["reader"]),
    ("cursor", &["caller_use", "reader", "ready_queue", "shard", "wake_list"]),
    ("watching", &["discovery", "reader", "shard", "stream_names"]),
];

fn doors_that_are_not_there(file: &Source) -> Vec<String> {
    let Some(inside) = file.path.strip_prefix("src/hub/") else { return vec![] };
    let room = inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs");
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: the room `{room}` has no line in ROOMS", file.path)];
    };
    let up = file.path.matches('/').count() - 1;
    let mut named = file.names_in("crate::hub");
    named.extend(file.names_in(&vec!["super"; up].join("::")));
    named.retain(|(_, name)| name != room && name != "super" && !allowed.contains(&name.as_str()));
    named
        .into_iter()
        .map(|(at, name)| format!("{}: `{room}` may not name `{name}`", file.at(at)))
        .collect()
}

#[test]
fn rooms_of_the_hub_name_what_they_stand_on() {
    holds(tree("src/hub").iter().flat_map(doors_that_are_not_there).collect());
}

#[test]
fn the_rooms_have_an_order() {
    assert_eq!(layers_without_order(ROOMS), Vec::<String>::new());
}

#[test]
fn doors_that_are_not_there_are_found() {
    let found = |path, code| doors_that_are_not_there(&Source::new(path, code)).len();
    assert_eq!(found("src/hub/cursor.rs", "use super::{reader::ReaderHandle, Hub};"), 1);
    assert_eq!(found("src/hub/reader/reader_task.rs", "use super::super::{HubShared, shard};"), 1);
    assert_eq!(found("src/hub/shard/lane/find.rs", "use crate::hub::reader::Readers;"), 1);
    assert_eq!(found("src/hub/shard/lane/find.rs", "use super::super::position::Anchor;"), 0);
    assert_eq!(found("src/hub/novel.rs", ""), 1);
    assert_eq!(found("src/hub.rs", "use shard::state::ShardState;"), 0);
}
