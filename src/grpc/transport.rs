//! TCP and HTTP/2 connections: accepting, serving and closing them, and their limits.

pub mod brake;
pub mod cancellations;
pub mod connection;
pub mod frames;
pub mod listener;
pub mod open_calls;
pub mod serving;
