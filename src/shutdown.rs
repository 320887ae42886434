//! What the system tells the program: to end, to end at once, or nothing that concerns it.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Exit;

/// The signals that reach a server. From [`Self::listen`] on none of them kills the process.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// SIGUSR1 and SIGUSR2.
    users: [Signal; 2],
    /// SIGHUP means that whoever looked on has gone.
    hangup_ends: bool,
}

/// How the program was told to end.
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
    /// Listens from now on. `hangup_ends`: the program serves the terminal it was started on.
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

    /// Resolves when the program is told to end, each time anew. Cancel-safe.
    pub async fn told(&mut self) -> StopSignal {
        loop {
            let [first, second] = &mut self.users;
            // All are cancel-safe: a signal that came is kept.
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

    /// How a process ends that is told a second time, and drains no further.
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
    // Both are cancel-safe: a signal that came is kept.
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
