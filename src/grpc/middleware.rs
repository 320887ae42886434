//! Middleware around every call: what is refused before the handler runs, and call metrics.

pub mod authentication;
pub mod call_limits;
pub(super) mod call_metrics;
pub(super) mod call_spans;
pub(super) mod call_traces;
pub(super) mod known_methods;
pub mod web;
