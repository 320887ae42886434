//! One integration binary: the tests share one build and one process.

mod support;
mod upstream_aws;
