//! Reads records of one world after another, whole and damaged, with what was learned of those
//! before and without it: the same to the byte. Counts how many were known, and how many of them
//! along a way that no learned record took.
//!
//! Stands alone, but for `both`, `damage`, `marked`, `shaped` and `worlds`: the fuzz targets and the
//! benchmark use it too.

use std::collections::HashSet;

use fastrand::Rng;
use shardstream::encode::Shapes;

use super::both::{Asked, wishes};
use super::damage::{corpus, damage};
use super::marked::{json, skeleton, spliced};
use super::shaped::check_with;
use super::worlds::World;

/// How many pages one graph reads.
const PAGES: u32 = 1_000;

/// What a graph takes that has no room for another world, in bytes.
const FULL: usize = 200_000;

/// What was read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Records of pages that were not damaged, and how many of them were known.
    pub records: usize,
    pub known: usize,
    /// Of these, those that were alone on a page, so that it is sure which was known; and those of
    /// them whose shape is that of no record that may have been learned: their steps were joined.
    pub alone: usize,
    pub joined: usize,
    /// Damaged pages, and how many of their records were known.
    pub damaged: usize,
    pub known_damaged: usize,
}

/// A reader that learned.
pub struct Joined {
    pub counts: Counts,
    chance: Rng,
    corpus: Vec<String>,
    wishes: Vec<Asked>,
    world: World,
    shapes: Shapes,
    /// The skeletons of records that may have been learned.
    learned: HashSet<String>,
    /// The last record, for splices.
    last: String,
    pages: u32,
}

impl Joined {
    pub fn new(seed: u64) -> Self {
        let mut chance = Rng::with_seed(seed);
        Self {
            counts: Counts::default(),
            corpus: corpus(),
            wishes: wishes(),
            world: World::new(&mut chance),
            chance,
            shapes: Shapes::default(),
            learned: HashSet::new(),
            last: "{}".to_owned(),
            pages: 0,
        }
    }

    /// Reads one more page; fails unless it is the same in both ways.
    pub fn page(&mut self) {
        self.pages += 1;
        if self.pages.is_multiple_of(PAGES) {
            self.world = World::new(&mut self.chance);
            // Sometimes two tables share what is learned, if there is room.
            if self.shapes.cost() > FULL || self.chance.u8(0..4) > 0 {
                self.shapes = Shapes::default();
                self.learned.clear();
            }
        }
        match self.chance.u8(0..8) {
            0 => self.damaged(),
            1..5 => self.whole(1),
            _ => {
                let count = self.chance.usize(2..6);
                self.whole(count);
            }
        }
    }

    fn records(&mut self, count: usize) -> Vec<String> {
        (0..count as u32)
            .map(|number| {
                let record = self.world.record(number, &mut self.chance);
                let last = std::mem::replace(&mut self.last, record.clone());
                let is_spliced = self.chance.u8(0..32) == 0;
                if is_spliced { spliced(&record, &last, &mut self.chance) } else { record }
            })
            .collect()
    }

    /// Reads records as they are.
    fn whole(&mut self, count: usize) {
        let records = self.records(count);
        let asked = self.asked();
        let known = check_with(self.body(&records).as_bytes(), asked, &mut self.shapes);
        self.counts.records += count;
        self.counts.known += known;
        let skeletons = records.iter().map(|record| skeleton(record));
        if count == 1 && known == 1 {
            self.counts.alone += 1;
            self.counts.joined += skeletons.filter(|one| !self.learned.contains(one)).count();
        } else {
            self.learned.extend(skeletons);
        }
    }

    /// Reads damaged records. Some are learned, and then count as neither joined nor alone.
    fn damaged(&mut self) {
        let count = self.chance.usize(1..4);
        let records = self.records(count);
        let mut page = self.body(&records).into_bytes();
        match self.chance.u8(0..4) {
            0 => page.truncate(self.chance.usize(0..=page.len())),
            1 => {
                let at = self.chance.usize(0..page.len());
                page[at] ^= 1 << self.chance.u8(0..8);
            }
            2 => {
                let mut others: Vec<String> = records.iter().map(|record| json(record)).collect();
                others.push(self.body(&records));
                damage(&mut page, &others, &mut self.chance);
            }
            _ => damage(&mut page, &self.corpus, &mut self.chance),
        }
        let asked = self.asked();
        self.counts.damaged += 1;
        // Of most it is not learned, so that it stays sure what was.
        let (is_learned, before) = (self.chance.u8(0..20) == 0, self.shapes.clone());
        self.counts.known_damaged += check_with(&page, asked, &mut self.shapes);
        if !is_learned {
            self.shapes = before;
        }
    }

    /// Reads a page with these bytes in the place of as many, at about so many 256ths of it.
    pub fn put_in(&mut self, at: u8, bytes: &[u8]) {
        let records = self.records(3);
        let mut page = self.body(&records).into_bytes();
        let at = (usize::from(at) * page.len() / 256).min(page.len().saturating_sub(bytes.len()));
        let end = page.len().min(at + bytes.len());
        page.splice(at..end, bytes.iter().copied());
        let asked = self.asked();
        check_with(&page, asked, &mut self.shapes);
    }

    fn body(&mut self, records: &[String]) -> String {
        let records: Vec<String> = records.iter().map(|record| json(record)).collect();
        let records = records.join(",");
        match self.chance.u8(0..3) {
            0 => format!("{{\"Records\":[{records}]}}"),
            1 => format!("{{\"Records\":[{records}],\"NextShardIterator\":\"n\"}}"),
            _ => format!("{{\"NextShardIterator\":\"n\",\"Records\":[{records}]}}"),
        }
    }

    /// Mostly everything, so that each byte of each record is compared.
    fn asked(&mut self) -> Asked {
        let at = self.chance.usize(0..20);
        self.wishes[if at < self.wishes.len() { at } else { 0 }].clone()
    }
}
