//! Clients, servers and other ends for tests: in process, behind sockets, as programs.

// Errors are looked at once here, and read better whole than in a box.
#![allow(clippy::result_large_err)]

pub mod both;
pub mod client;
pub mod contract;
pub mod damage;
pub mod faulty;
pub mod joined;
pub mod jwt;
pub mod marked;
pub mod pki;
pub mod program;
pub mod raw;
pub mod scripted_http;
pub mod scripted_server;
pub mod server;
pub mod shaped;
pub mod watcher;
pub mod world_values;
pub mod worlds;
