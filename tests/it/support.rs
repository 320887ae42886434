//! What the tests stand on: an upstream that does everything AWS does wrong, a record of what clients saw, and one
//! checking function for each promise.

// Errors are looked at once here, and read better whole than in a box.
#![allow(clippy::result_large_err)]

pub mod both;
pub mod chosen;
pub mod client;
pub mod damage;
pub mod driver;
pub mod fake;
pub mod faulty;
pub mod guarantees;
pub mod history;
pub mod ideal;
pub mod inprocess;
pub mod program;
pub mod raw;
pub mod scripted_http;
pub mod scripted_server;
pub mod seeds;
pub mod server;
pub mod service;
pub mod whole;
