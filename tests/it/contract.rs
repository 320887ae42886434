//! What every field and every byte may be, and what each misuse gets.

pub mod access;
mod audit;
pub mod bad_input;
