//! Traces: which one a call is of, so that whoever follows a request through many services finds it
//! in our logs; and a span for each call, sent to a collector where one is named.

pub mod call;
pub mod context;
pub mod exporter;
mod messages;
