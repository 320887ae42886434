//! Sockets and HTTP/2 connections: accepting, serving and closing them, and their limits.

pub mod cancellation_budget;
pub mod cancellation_throttle;
pub mod connection;
pub mod frames;
pub mod goaway;
pub mod handshake;
pub mod handshake_turns;
pub mod listener;
pub mod serving;
pub mod socket;
pub mod stalled_calls;
