//! What systemd passes to a service that it starts, sockets that are open already, and what it is
//! told by the service: how far it is, and that it lives.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// How often systemd is told about a service that it does not watch more closely.
const NEWS: Duration = Duration::from_secs(10);

/// The manager of this process, if it has one that wants to be told: systemd with Type=notify or
/// notify-reload. The default is nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceManager {
    is_told: bool,
}

impl ServiceManager {
    /// Whoever started this process.
    pub fn of_process() -> Self {
        Self { is_told: true }
    }

    /// The service takes calls, or has read its files again.
    pub fn ready(self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// The service reads its files again; it is ready afterwards.
    pub fn reloading(self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "there is no monotonic clock"),
        }
    }

    /// The service takes no more calls.
    pub fn stopping(self) {
        self.tell(&[NotifyState::Stopping]);
    }

    /// The service lives, and this is what it does.
    pub fn lives(self, status: &str) {
        self.tell(&[NotifyState::Status(status), NotifyState::Watchdog]);
    }

    /// How often [`Self::lives`] wants to be called: twice in WatchdogSec, every ten seconds at
    /// least; `None`: nobody is told.
    pub fn pulse(self) -> Option<Duration> {
        let watched =
            || sd_notify::watchdog_enabled().map_or(NEWS, |within| (within / 2).min(NEWS));
        self.is_told.then(watched)
    }

    /// What nobody hears changes nothing.
    fn tell(self, states: &[NotifyState<'_>]) {
        if self.is_told
            && let Err(error) = sd_notify::notify(states)
        {
            tracing::debug!(%error, "the service manager cannot be told");
        }
    }
}

/// The sockets that systemd has opened for this process.
#[derive(Debug, Default)]
pub struct PassedSockets {
    /// In the order of the unit.
    pub sockets: Vec<PassedSocket>,
}

/// One of them.
#[derive(Debug)]
pub struct PassedSocket {
    /// Its name: FileDescriptorName= of its unit.
    pub name: String,
    /// It, or why it is of no use.
    pub socket: Result<StreamSocket, String>,
}

/// A socket on which clients connect.
#[derive(Debug)]
pub enum StreamSocket {
    /// TCP.
    Tcp(TcpListener),
    /// Unix.
    Unix(UnixListener),
}

impl PassedSockets {
    /// Takes them; `names` are the names that systemd says they have, colons between. Takes the
    /// variables about them out of the environment: call it before other threads begin.
    pub fn take(names: &str) -> Self {
        let mut passed = ListenFd::from_env();
        let names: Vec<&str> = names.split(':').collect();
        let sockets = (0..passed.len()).map(|at| PassedSocket {
            name: names.get(at).copied().unwrap_or_default().to_owned(),
            socket: socket(&mut passed, at),
        });
        Self { sockets: sockets.collect() }
    }
}

fn socket(passed: &mut ListenFd, at: usize) -> Result<StreamSocket, String> {
    if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
        return Ok(StreamSocket::Tcp(listener));
    }
    match passed.take_unix_listener(at) {
        Ok(Some(listener)) => Ok(StreamSocket::Unix(listener)),
        Ok(None) => Err("it was passed once and taken twice".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
