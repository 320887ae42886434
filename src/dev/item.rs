//! The demo's writes: orders that are made, shipped and removed in turn, and one item that contains
//! every attribute type.

use dynoxide::{AttributeValue, Item};

/// The table's partition key.
pub(super) const KEY: &str = "pk";

/// How many items take turns. Few, so that the table stays small however long the demo runs.
const KEYS: u64 = 8;

/// One change to the demo table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DemoWrite {
    /// Puts an item: an INSERT if the key is free, else a MODIFY.
    Put(Item),
    /// Deletes the item under a key: a REMOVE.
    Delete(Item),
}

impl DemoWrite {
    /// The `n`-th change, counted from 0. Each makes exactly one stream record: the keys are filled
    /// first; from then on each key is put twice and deleted once in three rounds, the keys out of
    /// step with each other.
    pub(super) fn nth(n: u64, rng: &mut fastrand::Rng) -> Self {
        let (lap, slot) = (n / KEYS, n % KEYS);
        match (lap + slot) % 3 {
            0 if lap > 0 => Self::Delete(Item::from([(KEY.to_owned(), key(n))])),
            _ if slot == KEYS - 1 => Self::Put(demo_item(n, rng)),
            2 if lap > 0 => Self::Put(order(n, "shipped")),
            _ => Self::Put(order(n, "new")),
        }
    }
}

/// An order as it is after the `n`-th change: short enough to be read while it passes.
fn order(n: u64, status: &str) -> Item {
    const CUSTOMERS: [(&str, &str); 7] = [
        ("Ada", "19.90"),
        ("Björk", "7.25"),
        ("Chidi", "120"),
        ("Dalia", "42.42"),
        ("Eiko", "3.5"),
        ("Farid", "64"),
        ("Grace", "11.11"),
    ];
    let slot = usize::try_from(n % KEYS).unwrap_or_default() % CUSTOMERS.len();
    let (customer, total) = CUSTOMERS[slot];
    let goods = list([text("tea"), text(if slot.is_multiple_of(2) { "mug" } else { "honey" })]);
    Item::from(
        [
            (KEY, key(n)),
            ("change", number(&n.to_string())),
            ("customer", text(customer)),
            ("goods", goods),
            ("status", text(status)),
            ("total", number(total)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// An item with every attribute type of DynamoDB, each with values that readers often get wrong, as
/// it is after the `n`-th change.
fn demo_item(n: u64, rng: &mut fastrand::Rng) -> Item {
    let mut bytes =
        |len: usize| std::iter::repeat_with(|| rng.u8(..)).take(len).collect::<Vec<u8>>();
    let (binary, first, second) = (bytes(16), bytes(8), bytes(9));
    Item::from(
        [
            (KEY, key(n)),
            ("text", text(&format!("change number {n}, in any script: füße, 雪, 🦀"))),
            ("text_empty", text("")),
            ("number", number(&n.to_string())),
            // 38 digits, as many as DynamoDB keeps and far more than a float does; and its smallest
            // magnitude.
            ("number_long", number("12345678901234567890123456789012345678")),
            ("number_small", number("-1E-130")),
            ("binary", AttributeValue::B(binary)),
            ("binary_empty", AttributeValue::B(Vec::new())),
            ("texts", AttributeValue::SS(vec!["green".into(), "red".into(), format!("shade {n}")])),
            ("numbers", AttributeValue::NS(vec!["-1.5".into(), "0".into(), format!("{}", n + 1)])),
            ("binaries", AttributeValue::BS(vec![first, second])),
            ("null", AttributeValue::NULL(true)),
            ("flag", AttributeValue::BOOL(rng.bool())),
            (
                "list",
                list([
                    text("one"),
                    number("2"),
                    list([]),
                    map([("three", AttributeValue::NULL(true))]),
                ]),
            ),
            (
                "map",
                map([
                    ("empty", map([])),
                    ("flag", AttributeValue::BOOL(false)),
                    (
                        "nested",
                        map([(
                            "deeper",
                            map([("deepest", list([text("here"), number(&n.to_string())]))]),
                        )]),
                    ),
                ]),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

/// The key of the `n`-th change.
fn key(n: u64) -> AttributeValue {
    match n % KEYS {
        slot if slot == KEYS - 1 => text("every-type"),
        slot => text(&format!("order-{}", slot + 1)),
    }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn number(digits: &str) -> AttributeValue {
    AttributeValue::N(digits.to_owned())
}

fn list<const N: usize>(values: [AttributeValue; N]) -> AttributeValue {
    AttributeValue::L(values.into())
}

fn map<const N: usize>(entries: [(&str, AttributeValue); N]) -> AttributeValue {
    AttributeValue::M(Item::from(entries.map(|(name, value)| (name.to_owned(), value))))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_item_has_all_ten_types() {
        let item = demo_item(3, &mut fastrand::Rng::with_seed(1));
        let types: HashSet<_> = item.values().map(std::mem::discriminant).collect();
        assert_eq!(types.len(), 10);
        assert_eq!(item["text_empty"], text(""));
        assert_eq!(item["number_long"], number(&"1234567890".repeat(4)[..38]));
    }

    #[test]
    fn orders_are_made_and_shipped_and_each_change_changes_them() {
        let mut rng = fastrand::Rng::with_seed(1);
        let of_the_first = |n: &u64| n.is_multiple_of(KEYS);
        let statuses: Vec<_> = (0..6 * KEYS)
            .filter(of_the_first)
            .map(|n| match DemoWrite::nth(n, &mut rng) {
                DemoWrite::Put(item) => Some(item["status"].clone()),
                DemoWrite::Delete(_) => None,
            })
            .collect();
        let (made, shipped) = (Some(text("new")), Some(text("shipped")));
        let course = [&made, &made, &shipped, &None, &made, &shipped];
        assert_eq!(statuses.iter().collect::<Vec<_>>(), course);
        assert_ne!(order(0, "new"), order(KEYS, "new"));
    }

    #[test]
    fn the_same_seed_makes_the_same_item() {
        let make = |seed| demo_item(3, &mut fastrand::Rng::with_seed(seed));
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn every_change_changes_something_and_all_three_kinds_come() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut present = HashSet::new();
        let (mut inserts, mut modifies, mut removes) = (0, 0, 0);
        for n in 0..3000 {
            match DemoWrite::nth(n, &mut rng) {
                DemoWrite::Put(_) if present.insert(n % KEYS) => inserts += 1,
                DemoWrite::Put(_) => modifies += 1,
                DemoWrite::Delete(_) => {
                    assert!(present.remove(&(n % KEYS)), "change {n} removes nothing");
                    removes += 1;
                }
            }
        }
        assert!(inserts > 900 && modifies > 900 && removes > 900, "{inserts} {modifies} {removes}");
    }
}
