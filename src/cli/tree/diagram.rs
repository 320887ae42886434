//! The lineage as a diagram for Graphviz or Mermaid. Nodes are numbered, and ids appear only in
//! labels, where they are quoted; the same shards give the same text.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::forest::Forest;
use super::progress::Progress;
use crate::cli::shard::short_id;
use crate::cli::text::safe;
use crate::pb::{ReadingState, Shard, ShardState};

/// The state of a shard, which decides its look.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum NodeState {
    Open,
    Closed,
    /// No longer listed: AWS has trimmed all of it.
    Gone,
    /// Trimmed before the server read it.
    Lost,
}

struct Node {
    name: String,
    label: String,
    kind: NodeState,
}

/// The nodes in the order of the tree, shards no longer listed before their children, and the edges
/// from parent to child by node name.
fn nodes(forest: &Forest<'_>, progress: &Progress) -> (Vec<Node>, Vec<(String, String)>) {
    let (mut nodes, mut edges, mut names) = (Vec::new(), Vec::new(), BTreeMap::new());
    let listed = forest.walk();
    for (shard, depth) in &listed {
        let parent = shard.parent_shard_id.as_str();
        // Where parents form a circle, its first shard has a parent that is drawn later.
        let drawn_later = || listed.iter().any(|(other, _)| other.shard_id == parent);
        if *depth == 0 && !parent.is_empty() && !names.contains_key(parent) && !drawn_later() {
            names.insert(parent.to_owned(), add(&mut nodes, parent, NodeState::Gone));
        }
        let told = progress.get(&shard.shard_id);
        let name = add(&mut nodes, &shard.shard_id, kind(shard, told.map(|told| told.state())));
        if let Some(parent) = names.get(parent) {
            edges.push((parent.clone(), name.clone()));
        }
        names.insert(shard.shard_id.clone(), name);
    }
    (nodes, edges)
}

fn add(nodes: &mut Vec<Node>, shard_id: &str, kind: NodeState) -> String {
    let name = format!("n{}", nodes.len());
    nodes.push(Node { name: name.clone(), label: safe(short_id(shard_id)), kind });
    name
}

fn kind(shard: &Shard, reading: Option<ReadingState>) -> NodeState {
    match (reading, shard.state()) {
        (Some(ReadingState::Trimmed), _) => NodeState::Lost,
        (_, ShardState::Closed) => NodeState::Closed,
        (_, ShardState::Open | ShardState::Unspecified) => NodeState::Open,
    }
}

impl NodeState {
    /// The word for the state, below the id.
    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Gone => "trimmed",
            Self::Lost => "trimmed unread",
        }
    }

    /// The node's attributes in Graphviz.
    fn dot(self) -> &'static str {
        match self {
            Self::Open => r##"style="filled", fillcolor="#d5f5dc""##,
            Self::Closed => r##"style="filled", fillcolor="#e4e4e4""##,
            Self::Gone => r##"style="dashed", color="#808080", fontcolor="#808080""##,
            Self::Lost => r##"style="filled", fillcolor="#f9d3d3", color="#b00000""##,
        }
    }

    /// The node's class in Mermaid, and its style.
    fn mermaid(self) -> (&'static str, &'static str) {
        match self {
            Self::Open => ("open", "fill:#d5f5dc,stroke:#2e7d32,color:#000"),
            Self::Closed => ("closed", "fill:#e4e4e4,stroke:#606060,color:#000"),
            Self::Gone => ("gone", "fill:none,stroke:#808080,stroke-dasharray:4,color:#808080"),
            Self::Lost => ("lost", "fill:#f9d3d3,stroke:#b00000,color:#000"),
        }
    }
}

/// A digraph for Graphviz.
pub(super) fn dot(stream: &str, forest: &Forest<'_>, progress: &Progress) -> String {
    let (nodes, edges) = nodes(forest, progress);
    let mut text = format!("digraph {} {{\n  rankdir=LR;\n", dot_quoted(&safe(stream)));
    text.push_str("  node [shape=box, fontname=\"monospace\"];\n");
    // Writing to a String cannot fail.
    for Node { name, label, kind } in &nodes {
        let label = dot_quoted(&format!("{label}\n{}", kind.word()));
        let _ = writeln!(text, "  {name} [label={label}, {}];", kind.dot());
    }
    for (parent, child) in &edges {
        let _ = writeln!(text, "  {parent} -> {child};");
    }
    text.push('}');
    text
}

fn dot_quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n"))
}

/// A flowchart for Mermaid.
pub(super) fn mermaid(forest: &Forest<'_>, progress: &Progress) -> String {
    let (nodes, edges) = nodes(forest, progress);
    let mut text = "flowchart LR".to_owned();
    let mut kinds: Vec<NodeState> = nodes.iter().map(|node| node.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    for (class, style) in kinds.into_iter().map(NodeState::mermaid) {
        let _ = write!(text, "\n  classDef {class} {style}");
    }
    for Node { name, label, kind } in &nodes {
        let (class, _) = kind.mermaid();
        let _ =
            write!(text, "\n  {name}[\"{}<br/>{}\"]:::{class}", mermaid_quoted(label), kind.word());
    }
    for (parent, child) in &edges {
        let _ = write!(text, "\n  {parent} --> {child}");
    }
    text
}

/// Encodes every character that Mermaid, Markdown or HTML could interpret as its number.
fn mermaid_quoted(text: &str) -> String {
    let mut quoted = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || matches!(c, '-' | '.' | ' ') {
            quoted.push(c);
        } else {
            let _ = write!(quoted, "#{};", u32::from(c));
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_leave_their_quotes() {
        let evil = r#"a"]; x --> y \"#;
        let shards = [Shard { shard_id: evil.into(), ..Default::default() }];
        let forest = Forest::of(&shards);
        let dot = dot("t\"", &forest, &Progress::new());
        assert!(dot.starts_with(r#"digraph "t\"" {"#), "{dot}");
        assert!(dot.contains(r#"n0 [label="a\"]; x --> y \\\nopen""#), "{dot}");
        let mermaid = mermaid(&forest, &Progress::new());
        assert!(
            mermaid.contains(r#"n0["a#34;#93;#59; x --#62; y #92;<br/>open"]:::open"#),
            "{mermaid}"
        );
    }

    #[test]
    fn a_circle_is_drawn_once() {
        let shard = |id: &str, parent: &str| Shard {
            shard_id: id.into(),
            parent_shard_id: parent.into(),
            ..Default::default()
        };
        let shards = [shard("a", "b"), shard("b", "a")];
        let (nodes, edges) = nodes(&Forest::of(&shards), &Progress::new());
        assert_eq!((nodes.len(), edges), (2, vec![("n0".to_owned(), "n1".to_owned())]));
    }
}
