//! The integration tests: one binary, one scripted upstream, a paused clock.

mod support;
