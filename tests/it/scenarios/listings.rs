//! Listings: where they end, what one of them lacks, and what is told while they fail.

mod ends;
mod shared;
mod trees;
mod unread;
