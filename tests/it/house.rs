//! The rules of the house.

mod tidy;
