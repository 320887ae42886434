//! Whatever a client or an upstream sends: a typed answer, nothing lost, nothing moved, no panic.

mod answers;
mod bytes;
mod cases;
mod fields;
pub mod fixture;
mod movers;
mod sizes;
mod subscribe;
