//! The signals that stop the program: SIGTERM, Ctrl-C and SIGHUP; others are caught and ignored.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// The signals sent to a server. After [`Self::listen`] none of them kills the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// SIGUSR1 and SIGUSR2.
    users: [Signal; 2],
    /// Whether SIGHUP, sent when the terminal is closed, ends the program.
    hangup_ends: bool,
}

/// The signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGHUP, where it ends the program.
    Hangup,
}

impl Signals {
    /// Starts listening. `hangup_ends`: the program belongs to the terminal it was started on.
    pub fn listen(hangup_ends: bool) -> io::Result<Self> {
        let users = [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?];
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            users,
            hangup_ends,
        })
    }

    /// Resolves at the next signal that ends the program. Cancel-safe.
    pub async fn told(&mut self) -> StopSignal {
        loop {
            let [first, second] = &mut self.users;
            // All are cancel-safe: a signal that arrived is kept.
            let signal = tokio::select! {
                biased;
                _ = self.terminate.recv() => return StopSignal::Terminate,
                _ = self.interrupt.recv() => return StopSignal::Interrupt,
                _ = self.hangup.recv() => "SIGHUP",
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            if signal == "SIGHUP" && self.hangup_ends {
                return StopSignal::Hangup;
            }
            tracing::info!(signal, "there is nothing to do for this signal");
        }
    }
}

impl StopSignal {
    /// The signal's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        }
    }

    /// The exit code of a process that gets a second signal and stops draining.
    pub fn at_once(self) -> Exit {
        match self {
            Self::Terminate => Exit::Terminated,
            Self::Interrupt => Exit::Interrupted,
            Self::Hangup => Exit::HungUp,
        }
    }
}

/// Resolves at SIGTERM or Ctrl-C.
pub async fn told() {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!(%error, "signals cannot be listened to; only a kill ends this process");
            return std::future::pending().await;
        }
    };
    // Both are cancel-safe: a signal that arrived is kept.
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
