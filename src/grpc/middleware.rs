//! Middleware around every call: what is refused before the handler runs, and call metrics.

pub mod call_limits;
pub mod call_metrics;
pub mod call_spans;
pub mod callers;
pub mod methods;
