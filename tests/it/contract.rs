//! What every field and every byte may be, and what each misuse gets.

mod access;
pub mod bad_input;
