//! The encoder's own reading of raw pages against the slow one: the same of every page, whole or
//! damaged.

mod damaged;
mod generated;
mod joints;
mod learned;
mod shapes;

use crate::support::both::{all, check, check_as, fast, told, wishes};
