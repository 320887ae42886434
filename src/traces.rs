//! Traces: which one a call is of, so that whoever follows a request through many services finds it
//! in our logs.

pub mod context;
