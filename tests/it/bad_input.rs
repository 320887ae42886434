//! Whatever a client or an upstream sends: a typed answer, nothing lost, nothing moved, no panic.

mod answers;
pub mod bed;
mod bytes;
mod cases;
mod fields;
mod movers;
mod sizes;
mod whole;
