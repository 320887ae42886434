//! Records that share their steps: a world is a table with few names and fixed little vocabularies,
//! whose records differ in order and presence, so that learned shapes meet in ever new ways.
//!
//! Stands alone, but for `marked` and `world_values`: the fuzz targets and the benchmark use it
//! too.

use fastrand::Rng;

use super::marked::{BEGIN, END};
use super::world_values::LENGTHS;

/// Names like any, like those of the envelope, like types, and longer than a step with the same
/// beginnings or middles.
const NAMES: [&str; 23] = [
    "pk",
    "sk",
    "a",
    "b",
    "S",
    "M",
    "L",
    "BOOL",
    "NULL",
    "Keys",
    "NewImage",
    "SequenceNumber",
    "SizeBytes",
    "dynamodb",
    "eventID",
    "é",
    "a_name_longer_than_one_step_of_any_shape",
    "a_name_longer_than_one_step_of_any_other",
    "begins_so_and_has_the_same_middle_as_others_and_ends_so",
    "begins_as__and_has_the_same_middle_as_others_and_ends_so",
    "begins_so_and_has_the_same_middle_as_others_and_ends_otherwise",
    "begins_as__and_has_the_same_middle_as_others_and_ends_otherwise",
    "a_name_of_so_many_bytes_that_it_is_just_about_as_long_as_those_that_are_learned_",
];

/// The fields of a record, and of `dynamodb` in it, in AWS's order.
const FIELDS: usize = 7;

/// A table.
pub struct World {
    pub attributes: Vec<(&'static str, u8)>,
    pub inner: Vec<(&'static str, u8)>,
    /// In which orders fields come.
    orders: Vec<([usize; FIELDS], [usize; FIELDS])>,
    /// The lengths that most texts have.
    pub lengths: Vec<usize>,
    /// How often each field comes, of a record and of `dynamodb`, in percent.
    often: [[u8; FIELDS]; 2],
    /// How many of each little vocabulary are used.
    words: usize,
    /// How often each attribute comes, in percent, and how often its kind or order changes.
    pub full: u8,
    pub restless: u8,
    is_spaced: bool,
    /// One of so many records is odd.
    oddly: u32,
}

/// A record being written.
pub struct Author<'w, 'c> {
    pub world: &'w World,
    pub chance: &'c mut Rng,
    pub is_odd: bool,
}

impl World {
    /// Any world.
    pub fn new(chance: &mut Rng) -> Self {
        let named = |chance: &mut Rng, count: usize| {
            let first = chance.usize(0..NAMES.len());
            let step = chance.usize(1..NAMES.len());
            (0..count)
                .map(|of| {
                    (
                        NAMES[(first + of * step) % NAMES.len()],
                        chance.choice(*b"SSSNNBtFMMLsnb").unwrap_or(b'S'),
                    )
                })
                .collect::<Vec<_>>()
        };
        let (attributes, inner) = (chance.usize(2..6), chance.usize(1..4));
        let attributes = named(chance, attributes);
        let mut inner = named(chance, inner);
        if chance.u8(0..3) == 0 {
            // Maps in maps with the same names.
            inner = vec![attributes[0], (attributes[1].0, b'M'), (attributes[1].0, b'S')];
            chance.shuffle(&mut inner);
        }
        let mut orders = vec![(in_order(), in_order())];
        for _ in 0..chance.usize(0..2) {
            let (mut record, mut change) = orders[0];
            let at = chance.usize(0..FIELDS);
            record.swap(at, chance.usize(0..FIELDS));
            // Often an image for another.
            let at = chance.usize(0..FIELDS);
            let (at, to) = match chance.u8(0..4) {
                0 => (1, 2),
                1 => (2, 3),
                _ => (at, chance.usize(0..FIELDS)),
            };
            change.swap(at, to);
            orders.push((record, change));
        }
        Self {
            attributes,
            inner,
            orders,
            lengths: (0..3).map(|_| LENGTHS[chance.usize(0..LENGTHS.len())]).collect(),
            often: often(chance),
            words: [1, 1, 2, 3][chance.usize(0..4)],
            full: [70, 85, 95, 100][chance.usize(0..4)],
            restless: [0, 0, 1, 3][chance.usize(0..4)],
            is_spaced: chance.u8(0..10) == 0,
            oddly: [20, 40, 200, 1_000][chance.usize(0..4)],
        }
    }

    /// A record with this sequence number, with marks.
    pub fn record(&self, number: u32, chance: &mut Rng) -> String {
        let is_odd = chance.u32(0..self.oddly) == 0;
        let text = Author { world: self, chance, is_odd }.record(number);
        if self.is_spaced { text.replace("\":", "\" : ").replace("},\"", "} ,\n \"") } else { text }
    }
}

/// Most always, two or three now and then, some never.
fn often(chance: &mut Rng) -> [[u8; FIELDS]; 2] {
    let mut often = [[100, 100, 100, 100, 100, 100, 3], [100, 100, 90, 30, 100, 100, 100]];
    for _ in 0..chance.usize(1..4) {
        let (of, field) = (chance.usize(0..2), chance.usize(0..FIELDS));
        often[of][field] = [0, 20, 50, 80, 97][chance.usize(0..5)];
    }
    often
}

fn in_order() -> [usize; FIELDS] {
    std::array::from_fn(|at| at)
}

impl Author<'_, '_> {
    /// Whether something odd comes here.
    pub fn odd(&mut self) -> bool {
        self.is_odd && self.chance.u8(0..8) == 0
    }

    pub fn happens(&mut self, percent: u8) -> bool {
        self.chance.u8(0..100) < percent
    }

    pub fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.chance.usize(0..of.len())]
    }

    /// One of the usual, rarely of the odd ones.
    pub fn usual<'t>(&mut self, usual: &[&'t str], odd: &[&'t str]) -> &'t str {
        if self.odd() { self.one(odd) } else { self.one(usual) }
    }

    /// One of the first few of these, as the world has it; rarely an odd one.
    fn word<'t>(&mut self, usual: &[&'t str], odd: &[&'t str]) -> &'t str {
        self.usual(&usual[..self.world.words.min(usual.len())], odd)
    }

    fn record(&mut self, number: u32) -> String {
        let order = self.world.orders[self.chance.usize(0..self.world.orders.len())];
        let mut fields = Vec::new();
        for field in order.0 {
            if self.happens(self.world.often[0][field]) {
                fields.push(self.field(field, number, &order.1));
            }
        }
        self.again(&mut fields);
        format!("{{{}}}", fields.join(","))
    }

    /// Rarely lets a field come twice, or one that is not known.
    fn again(&mut self, fields: &mut Vec<String>) {
        if self.odd() && !fields.is_empty() {
            let one = fields[self.chance.usize(0..fields.len())].clone();
            fields.insert(self.chance.usize(0..=fields.len()), one);
        }
        if self.odd() {
            let more = self.one(&[
                "\"more\":1",
                "\"more\":\"\\u00e9\"",
                "\"eventID\":null",
                "\"Keys\":{}",
                "\"dynamodb\":null",
                "\"a\":[{}]",
                "\"awsRegion\":\"x\"",
                "\"SizeBytes\":1",
            ]);
            fields.insert(self.chance.usize(0..=fields.len()), more.to_owned());
        }
    }

    fn field(&mut self, field: usize, number: u32, order: &[usize]) -> String {
        let long = "1.1".repeat(30);
        match field {
            0 => format!(
                "\"awsRegion\":{}",
                self.word(
                    &["\"eu-west-1\"", "\"us-east-1\""],
                    &["\"\"", "null", "\"\\u0065\"", &format!("\"{long}1234567\"")]
                )
            ),
            1 => self.change(number, order),
            2 => format!("\"eventID\":{}", self.id(number)),
            3 => format!(
                "\"eventName\":{}",
                self.word(
                    &["\"INSERT\"", "\"MODIFY\"", "\"REMOVE\""],
                    &["\"UPSERT\"", "\"\"", "\"insert\"", "null", "\"INSERT\\n\""]
                )
            ),
            4 => "\"eventSource\":\"aws:dynamodb\"".to_owned(),
            5 => format!(
                "\"eventVersion\":{}",
                self.word(
                    &["\"1.1\"", "\"1.0\""],
                    &["\"\"", &format!("\"{long}\""), &format!("\"{}\"", &long[..60]), "1.1"]
                )
            ),
            _ => format!("\"userIdentity\":{}", self.identity()),
        }
    }

    fn identity(&mut self) -> &'static str {
        let usual = [
            r#"{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}"#,
            r#"{"Type":"Service","PrincipalId":"dynamodb.amazonaws.com"}"#,
            r#"{"Type":"Service"}"#,
            "{}",
        ];
        let odd = [
            r#"{"Type":"Service","Type":"Other"}"#,
            r#"{"type":"Service"}"#,
            r#"{"Type":"Service","more":1}"#,
            r#"{"Type":null}"#,
            "null",
        ];
        self.word(&usual, &odd)
    }

    fn id(&mut self, number: u32) -> String {
        if self.odd() {
            return match self.chance.u8(0..5) {
                0 => format!("\"{BEGIN}{}{END}\"", "7".repeat(200)),
                1 => format!("\"{BEGIN}\\u0037{number}{END}\""),
                2 => format!("\"{BEGIN}é{number}\u{1f}{END}\""),
                3 => format!("\"{BEGIN}{}{END}\"", "7".repeat(128)),
                _ => "null".to_owned(),
            };
        }
        let length = [0, 1, 26, 26, 26, 32, 40, 41, 42, 43][self.chance.usize(0..10)];
        let number = if length == 0 { String::new() } else { format!("{number:06}") };
        format!(
            "\"{BEGIN}{}{number}{END}\"",
            "7de3041dd709b024af6f29e4fa13d34c7de3041dd709b024af6f"
                .get(..length)
                .unwrap_or_default()
        )
    }

    fn change(&mut self, number: u32, order: &[usize]) -> String {
        if self.odd() {
            return format!("\"dynamodb\":{}", self.one(&["null", "{}", "{ }"]));
        }
        let mut fields = Vec::new();
        for &field in order {
            if self.happens(self.world.often[1][field]) {
                fields.push(self.change_field(field, number));
            }
        }
        self.again(&mut fields);
        format!("\"dynamodb\":{{{}}}", fields.join(","))
    }

    fn change_field(&mut self, field: usize, number: u32) -> String {
        match field {
            0 => format!("\"ApproximateCreationDateTime\":{}", self.time()),
            1 => format!("\"Keys\":{}", self.image(2)),
            2 => format!("\"NewImage\":{}", self.image(9)),
            3 => format!("\"OldImage\":{}", self.image(9)),
            4 => format!("\"SequenceNumber\":{}", self.number(number)),
            5 => format!("\"SizeBytes\":{}", self.size()),
            _ => format!(
                "\"StreamViewType\":{}",
                self.word(
                    &["\"NEW_AND_OLD_IMAGES\"", "\"KEYS_ONLY\"", "\"NEW_IMAGE\""],
                    &["\"\"", "\"ODD\"", "null", "\"keys_only\""]
                )
            ),
        }
    }

    /// Some are the beginnings of others.
    fn time(&mut self) -> String {
        let usual = [
            "1.7676E9",
            "1.7676E9",
            "1.7676E9",
            "1.7676",
            "1.76760001E9",
            "1.7676E+9",
            "1.7676e9",
            "1767600000",
            "176760000",
            "17676000001",
            "1767600000.123",
            "1767600000.1234567",
            "0",
            "-1.5",
            "-0",
            "1.7676E91",
        ];
        let odd = [
            "1e300",
            "1e999",
            "01.7676E9",
            "1.E9",
            "+1.7E9",
            "1.7676E",
            "1767600000.123456789012345678901234567890",
        ];
        if self.odd() && self.happens(20) {
            return "null".to_owned();
        }
        format!("{BEGIN}{}{END}", self.usual(&usual, &odd))
    }

    fn size(&mut self) -> String {
        let usual =
            ["0", "1", "26", "127", "128", "412", "16383", "16384", "409600", "123456789012345"];
        let odd = [
            "-1",
            "-0",
            "012",
            "00",
            "26.0",
            "1e2",
            "1234567890123456",
            "99999999999999999999",
            "",
        ];
        if self.odd() && self.happens(20) {
            return "null".to_owned();
        }
        format!("{BEGIN}{}{END}", self.usual(&usual, &odd))
    }

    fn number(&mut self, number: u32) -> String {
        if self.odd() {
            let odd = [
                "\"\"",
                "\"x1\"",
                "null",
                "\"\\u0031\"",
                "\"1 \"",
                "1",
                "\"00000000000000000000000000000000000000000000000000001\"",
                "\"1234567890123456789012345678901234567890123456789\"",
                "\"-1\"",
            ];
            return self.one(&odd).to_owned();
        }
        format!(
            "\"{BEGIN}{}{number:06}{END}\"",
            self.one(&["44215845000000000174504", "", "1", "000", "4421584500000000017450439"])
        )
    }
}
