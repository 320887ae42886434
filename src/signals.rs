//! The signals that stop the program, SIGTERM, Ctrl-C and the end of its terminal, and SIGHUP, at
//! which a server reads its files again; others are caught and ignored.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::exit::Exit;

/// The signals sent to a server. After [`Self::listen`] none of them kills the process.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// SIGUSR1 and SIGUSR2.
    users: [Signal; 2],
    /// Notified at SIGHUP, so that files are read again. `None`: SIGHUP ends the program, which
    /// belongs to the terminal that was closed.
    reload: Option<Arc<Notify>>,
}

/// The signal that ends the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGHUP, where it ends the program.
    Hangup,
}

impl Signals {
    /// Starts listening. SIGHUP notifies `reload`, or ends the program if there is none.
    pub(crate) fn listen(reload: Option<Arc<Notify>>) -> io::Result<Self> {
        let users = [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?];
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            users,
            reload,
        })
    }

    /// Resolves at the next signal that ends the program, and does meanwhile what the others
    /// mean. Cancel-safe.
    pub(crate) async fn told(&mut self) -> StopSignal {
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
            match (signal, &self.reload) {
                ("SIGHUP", None) => return StopSignal::Hangup,
                ("SIGHUP", Some(reload)) => {
                    tracing::info!(signal, "reading the files of TLS, tokens and rules again");
                    // Kept for whoever waits later, as while the server starts.
                    reload.notify_one();
                }
                _ => tracing::info!(signal, "there is nothing to do for this signal"),
            }
        }
    }
}

impl StopSignal {
    /// The signal's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Hangup => "SIGHUP",
        }
    }

    /// The exit code of a process that gets a second signal and stops draining.
    pub(crate) fn at_once(self) -> Exit {
        match self {
            Self::Terminate => Exit::Terminated,
            Self::Interrupt => Exit::Interrupted,
            Self::Hangup => Exit::HungUp,
        }
    }
}

/// Resolves at SIGTERM or Ctrl-C.
pub(crate) async fn told() {
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
