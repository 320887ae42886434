//! The shard graph, without I/O: merges listings, finds parents and children. Rows may come in any
//! order, incomplete, with orphans and cycles.

mod graph;
mod walk;

use std::collections::BTreeMap;

use crate::model::{Shard, ShardId};

pub(crate) use graph::Graph;
pub(crate) use walk::{Kin, Walk};

/// Merges rows of another listing, or of another page of one, by shard id: each shard once; where a
/// later row knows more (its end, its parent), that is kept.
pub(crate) fn merge(known: &mut Vec<Shard>, rows: impl IntoIterator<Item = Shard>) {
    let mut index: BTreeMap<ShardId, usize> =
        known.iter().enumerate().map(|(at, shard)| (shard.id.clone(), at)).collect();
    for row in rows {
        match index.get(&row.id) {
            Some(&at) => {
                let shard = &mut known[at];
                shard.parent = row.parent.or(shard.parent.take());
                shard.starting = row.starting.or(shard.starting);
                shard.ending = row.ending.or(shard.ending);
            }
            None => {
                index.insert(row.id.clone(), known.len());
                known.push(row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SequenceNumber;

    fn shard(id: &str, parent: Option<&str>) -> Shard {
        let parse = |text: &str| ShardId::parse(text).expect("an id");
        Shard { id: parse(id), parent: parent.map(parse), starting: None, ending: None }
    }

    #[test]
    fn merging_keeps_each_shard_once_and_what_is_known_of_it() {
        let end = SequenceNumber::parse("9").ok();
        let mut known = vec![shard("a", Some("p"))];
        merge(
            &mut known,
            [
                Shard { ending: end, ..shard("a", None) },
                shard("b", Some("a")),
                shard("b", Some("a")),
            ],
        );
        assert_eq!(known.len(), 2);
        assert_eq!(
            (known[0].ending, known[0].parent.as_ref().map(ShardId::as_str)),
            (end, Some("p"))
        );
    }
}
