//! The embedded database: opened, and served on loopback by a thread of its own.
//!
//! Why a thread with its own event loop: dynoxide runs each call to its end inside the HTTP
//! handler, waits for the disk included. On the server's own runtime a few writers would block
//! every gRPC stream. dynoxide processes one call at a time anyway, so one thread costs nothing;
//! and dropping its event loop drops every connection and every handle to the database, which
//! dynoxide itself does not promise.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dynoxide::Database;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use super::database::SharedDatabase;
use super::folder::Folder;
use super::{DevError, expire, forget, index};

/// How long calls in progress may take after shutdown. A client that sent only half a request gets
/// no longer.
const GRACE: Duration = Duration::from_secs(2);

/// The options of the embedded DynamoDB.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedOptions {
    /// The loopback port to listen on; 0: any free one.
    pub port: u16,
    /// The folder that keeps the data from run to run; `None`: a temporary one, removed at the end.
    pub data_dir: Option<PathBuf>,
}

/// A DynamoDB in this process. Dropping it ends it and removes its temporary folder. To let it
/// finish calls in progress and close its file, cancel the token and wait for the tracker before
/// dropping.
#[derive(Debug)]
pub struct Embedded {
    address: SocketAddr,
    /// Ends the serving thread and the demo writers when dropped. Declared first: the end is
    /// requested before the folder is removed.
    _end: DropGuard,
    ended: CancellationToken,
    database: SharedDatabase,
    folder: Arc<Folder>,
}

impl Embedded {
    /// Opens the database and serves it until `shutdown` is cancelled or the value is dropped. Its
    /// tasks are spawned on `tracker`.
    pub async fn start(
        options: EmbeddedOptions,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<Self, DevError> {
        let ended = shutdown.child_token();
        // However this function returns, the thread ends, unless an `Embedded` took the guard.
        let end = ended.clone().drop_guard();
        let (ready, opened) = oneshot::channel();
        let stop = ended.clone();
        // Opening a large kept file may take seconds, and serving blocks: neither may run on the
        // runtime's own threads.
        tracker.spawn_blocking(move || match Serving::open(&options) {
            Ok(serving) => {
                // If the receiver is gone, so is the guard, and serving ends at once.
                let _ = ready.send(Ok(serving.opened()));
                serving.until(stop);
            }
            Err(error) => drop(ready.send(Err(error))),
        });
        let Opened { address, database, folder } = opened.await.map_err(|_| DevError::Ended)??;
        let expiry =
            expire::run(database.clone(), Arc::clone(&folder), ended.clone(), tracker.clone());
        tracker.spawn(expiry.instrument(info_span!("item_expiry")));
        tracing::debug!(%address, folder = %folder.path().display(), "embedded DynamoDB is open");
        Ok(Self { address, _end: end, ended, database, folder })
    }

    /// The endpoint URL for any AWS SDK, with any credentials: `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder that holds the data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database's file.
    pub(super) fn database_path(&self) -> PathBuf {
        self.folder.database()
    }

    /// The database itself, for blocking calls from inside the process.
    pub(super) fn database(&self) -> &SharedDatabase {
        &self.database
    }

    /// Cancelled when this DynamoDB has to end, for whatever reason.
    pub(super) fn ended(&self) -> &CancellationToken {
        &self.ended
    }
}

/// What the serving thread reports to `start` once the database is open.
struct Opened {
    address: SocketAddr,
    database: SharedDatabase,
    folder: Arc<Folder>,
}

/// Everything the serving thread needs. Fields are dropped in this order: the event loop with its
/// connections, the database, and only then the folder.
struct Serving {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    database: SharedDatabase,
    folder: Arc<Folder>,
}

impl Serving {
    fn open(options: &EmbeddedOptions) -> Result<Self, DevError> {
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(DevError::EventLoop)?;
        let listen_failed = |source| DevError::Listen { port: options.port, source };
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).map_err(listen_failed)?;
        listener.set_nonblocking(true).map_err(listen_failed)?;
        let address = listener.local_addr().map_err(listen_failed)?;

        let folder = Arc::new(Folder::open(options.data_dir.as_deref())?);
        let path = folder.database();
        let database = Database::new(&path.to_string_lossy())
            .map_err(|source| DevError::Open { path: path.clone(), source })?;
        if options.data_dir.is_none() {
            // The data need not survive a power cut: do not wait for the disk on each write.
            // Written data still survive the process.
            database
                .enable_bulk_loading()
                .map_err(|source| DevError::Open { path: path.clone(), source })?;
        }
        // Both change the schema from outside: after the database has created it, and before its
        // first use.
        index::ensure(&path);
        forget::ensure(&path);
        Ok(Self { runtime, listener, address, database: SharedDatabase::new(database), folder })
    }

    fn opened(&self) -> Opened {
        Opened {
            address: self.address,
            database: self.database.clone(),
            folder: Arc::clone(&self.folder),
        }
    }

    /// Serves until `stop`, and then for [`GRACE`] at most.
    fn until(self, stop: CancellationToken) {
        let Self { runtime, listener, address: _, database, folder } = self;
        let served = runtime.block_on(async {
            let listener =
                tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
            let serve = dynoxide::server::serve_with_shutdown(
                listener,
                database.into_inner(),
                stop.clone().cancelled_owned(),
            );
            let out_of_time = async {
                stop.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            // Two events: all calls finished, or the grace period is over. The other one is dropped
            // for good, so neither needs to be cancel-safe.
            tokio::select! {
                biased;
                served = serve => served,
                () = out_of_time => Ok(()),
            }
        });
        if let Err(error) = served {
            tracing::error!(error, "embedded DynamoDB stopped serving");
            stop.cancel();
        }
        drop(runtime);
        drop(folder);
    }
}
