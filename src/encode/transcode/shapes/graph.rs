//! All steps known of a stream, and which may follow which.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::constants::Rendered;
use super::learn::{Draft, Lesson};
use super::state::State;
use super::step::Step;

/// The most steps, edges between them and different constants of one stream.
const MOST_STEPS: usize = 4_096;
const MOST_EDGES: usize = 16_384;
const MOST_CONSTANTS: usize = 255;

/// How many steps may follow one. They are tried in the order in which they were learned, and most
/// often one of the first fits; eight were too few for attributes of which each record has others.
const MOST_ALTERNATIVES: usize = 16;

/// No step, no edge.
const NONE: u32 = u32::MAX;

/// The steps, joined by edges.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// The edge to the first step of a record.
    first: u32,
    constants: Vec<Rendered>,
    /// The steps by the hash of their identity. Two with the same hash: the later is not found, and
    /// may be learned twice.
    by_hash: HashMap<u64, u32>,
    identities: Vec<Identity>,
}

/// A step, and what follows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub step: Step,
    /// The edge to the first of the steps that may follow.
    pub next: u32,
    /// The constants of the record, by number; of a piece that is not the last of its JSON, those of
    /// the record that it was learned of.
    constants: u8,
}

/// A step that may come, and the edge to the next one that may come in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    pub step: u32,
    pub other: u32,
}

/// What makes two steps the same, apart from what they do: the general transcoder is in the same
/// state before them. Then it is in the same state after them, too, because what they do is all
/// that it read and wrote between. For a further piece of JSON longer than a step, the state before
/// it is that after the piece before, which only that piece tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity {
    before: State,
    piece_before: u32,
}

impl Default for Graph {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            edges: Vec::new(),
            first: NONE,
            constants: Vec::new(),
            by_hash: HashMap::new(),
            identities: Vec::new(),
        }
    }
}

impl Graph {
    /// The edge to the first step of a record.
    #[inline]
    pub(super) fn first(&self) -> u32 {
        self.first
    }

    #[inline]
    pub(super) fn edge(&self, edge: u32) -> Option<Edge> {
        self.edges.get(edge as usize).copied()
    }

    #[inline]
    pub(super) fn node(&self, step: u32) -> Option<&Node> {
        self.nodes.get(step as usize)
    }

    /// The constants of a record that ends with this step.
    #[inline]
    pub(super) fn constants(&self, node: &Node) -> Option<&Rendered> {
        self.constants.get(usize::from(node.constants))
    }

    /// What it takes in memory, in bytes.
    pub(super) fn cost(&self) -> usize {
        let step = size_of::<Node>() + size_of::<Identity>() + 2 * size_of::<(u64, u32)>();
        self.nodes.len() * step
            + self.edges.len() * size_of::<Edge>()
            + self.constants.len() * size_of::<Rendered>()
    }

    /// Whether nothing more can be learned.
    pub(super) fn is_full(&self) -> bool {
        self.nodes.len() >= MOST_STEPS || self.edges.len() >= MOST_EDGES
    }

    /// Adds the steps of a record, as far as there is room.
    pub(super) fn add(&mut self, lesson: &Lesson) {
        let _ = self.add_all(lesson);
    }

    fn add_all(&mut self, lesson: &Lesson) -> Option<()> {
        let constants =
            lesson.constants.iter().map(|one| self.number_of(one)).collect::<Option<Vec<u8>>>()?;
        let mut from = None;
        for draft in &lesson.drafts {
            from = Some(self.add_one(from, draft, &constants)?);
        }
        Some(())
    }

    /// Adds a step after `from`; returns it, or `None` if there is no room.
    fn add_one(&mut self, from: Option<u32>, draft: &Draft, constants: &[u8]) -> Option<u32> {
        let numbered = |state: State| state.numbered(constants);
        let identity = Identity {
            before: numbered(draft.before),
            piece_before: from.filter(|_| draft.is_further_piece).unwrap_or(NONE),
        };
        let mut hasher = DefaultHasher::new();
        (&identity, &draft.step).hash(&mut hasher);
        let hash = hasher.finish();
        let same = |step: &u32| {
            let at = *step as usize;
            self.identities[at] == identity && self.nodes[at].step == draft.step
        };
        let known = self.by_hash.get(&hash).copied().filter(same);
        let last = match known {
            Some(step) => match self.last_alternative(from, step)? {
                None => return Some(step),
                Some(last) => last,
            },
            None => self.last_alternative(from, NONE)??,
        };
        if self.is_full() {
            return None;
        }
        let step = known.unwrap_or_else(|| {
            let step = self.nodes.len() as u32;
            self.nodes.push(Node {
                step: draft.step,
                next: NONE,
                constants: numbered(draft.after).constants,
            });
            self.identities.push(identity);
            self.by_hash.entry(hash).or_insert(step);
            step
        });
        let edge = self.edges.len() as u32;
        self.edges.push(Edge { step, other: NONE });
        *match (last, from) {
            (NONE, None) => &mut self.first,
            (NONE, Some(from)) => &mut self.nodes[from as usize].next,
            (last, _) => &mut self.edges[last as usize].other,
        } = edge;
        Some(step)
    }

    /// The last edge from a step, [`NONE`] if there is none; `Some(None)` if one of them leads to
    /// `to` already, `None` if there are as many as there may be.
    fn last_alternative(&self, from: Option<u32>, to: u32) -> Option<Option<u32>> {
        let mut at = from.map_or(self.first, |from| self.nodes[from as usize].next);
        let mut last = NONE;
        let mut count = 0;
        while let Some(edge) = self.edge(at) {
            if edge.step == to {
                return Some(None);
            }
            (last, at, count) = (at, edge.other, count + 1);
        }
        (count < MOST_ALTERNATIVES).then_some(Some(last))
    }

    fn number_of(&mut self, constants: &Rendered) -> Option<u8> {
        let known = self.constants.iter().position(|one| one == constants);
        let number = known.unwrap_or(self.constants.len());
        if known.is_none() && number < MOST_CONSTANTS {
            self.constants.push(constants.clone());
        }
        (number < MOST_CONSTANTS).then_some(number as u8)
    }
}
