//! What can go wrong with the embedded DynamoDB.

use std::io;
use std::path::PathBuf;

/// Why the embedded DynamoDB, or its demo table, could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The folder for the data cannot be made or written to.
    #[error("cannot keep the embedded DynamoDB's data in {path}: {source}", path = path.display())]
    Folder {
        /// The folder asked for.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("{path} is in use by another embedded DynamoDB; end that one, or name another folder", path = path.display())]
    FolderInUse {
        /// The folder asked for.
        path: PathBuf,
    },
    /// No temporary folder can be made.
    #[error("cannot make a temporary folder for the embedded DynamoDB's data: {0}")]
    TemporaryFolder(io::Error),
    /// The database file does not open.
    #[error("cannot open the embedded DynamoDB's database {path}: {source}", path = path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        source: dynoxide::DynoxideError,
    },
    /// The port cannot be listened on.
    #[error("the embedded DynamoDB cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The port asked for.
        port: u16,
        /// What the operating system said.
        source: io::Error,
    },
    /// The thread that serves the database has no event loop.
    #[error("cannot start the embedded DynamoDB's event loop: {0}")]
    EventLoop(io::Error),
    /// It ended while it was being started, or was used after its end.
    #[error("the embedded DynamoDB has ended")]
    Ended,
    /// The demo table was refused.
    #[error("the embedded DynamoDB refused to make the demo table {table_name}: {source}")]
    CreateTable {
        /// The table's name.
        table_name: String,
        /// What the database said.
        source: dynoxide::DynoxideError,
    },
}
