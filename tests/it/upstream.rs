//! AWS and others as upstreams: their answers, their names, their pages.

mod alternator;
mod aws;
mod transcode;
