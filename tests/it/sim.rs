//! The simulation: an upstream that does everything AWS does wrong, clients that follow a plan, a
//! record of what they saw, one checking function for each promise, and a model server that tries
//! the checks.

pub mod chosen;
pub mod driver;
pub mod fake;
pub mod guarantees;
pub mod history;
pub mod inprocess;
pub mod model_server;
mod random_schedules;
pub mod schedules;
pub mod service;
mod soak;
