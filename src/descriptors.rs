//! How many files and sockets the process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What systems allow where they set no limit in words.
const MODEST: u64 = 10_240;

/// Raises the limit as far as the system lets the process raise it. Returns what it is then;
/// `None`: the system does not say.
pub(crate) fn raise() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    // Some systems call the hard limit endless and refuse to set it.
    let raised = [hard, hard.min(MODEST)].into_iter().filter(|limit| *limit > soft);
    let raised =
        raised.into_iter().find(|limit| setrlimit(Resource::RLIMIT_NOFILE, *limit, hard).is_ok());
    Some(raised.unwrap_or(soft))
}
