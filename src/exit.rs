//! How the process ends: one number for each kind of end, the same for every command.

use std::process::ExitCode;

/// The documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: everything that was asked for was done.
    Ok,
    /// 1: it failed, and none of the other codes fits.
    Failure,
    /// 2: the flags, the environment or the configuration file do not make sense.
    Usage,
    /// 3: the stream, the shard or the lease does not exist.
    NotFound,
    /// 4: not allowed: the caller by us, or we by AWS.
    Denied,
    /// 5: the server or its upstream cannot be reached or is not ready: trying again later may
    /// help.
    Unavailable,
    /// 129: ended at once by SIGHUP, that is, when its terminal went away.
    HungUp,
    /// 130: ended by Ctrl-C.
    Interrupted,
    /// 143: ended at once by a second SIGTERM.
    Terminated,
}

/// The codes as the help shows them.
pub const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failure, 2 usage, 3 not found, 4 denied, 5 unavailable, \
                              130 interrupted, 143 terminated";

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Denied => 4,
            Self::Unavailable => 5,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}
