//! The errors of the embedded DynamoDB.

use std::io;
use std::path::PathBuf;

/// Why the embedded DynamoDB, or its demo table, could not be started.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// The data folder cannot be created or written to.
    #[error("cannot keep the embedded DynamoDB's data in {path}: {source}", path = path.display())]
    Folder {
        /// The requested folder.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another process has the folder open.
    #[error("{path} is in use by another embedded DynamoDB; end that one, or name another folder", path = path.display())]
    FolderInUse {
        /// The requested folder.
        path: PathBuf,
    },
    /// No temporary folder can be created.
    #[error("cannot make a temporary folder for the embedded DynamoDB's data: {0}")]
    TemporaryFolder(io::Error),
    /// The database file cannot be opened.
    #[error("cannot open the embedded DynamoDB's database {path}: {source}", path = path.display())]
    Open {
        /// The database file.
        path: PathBuf,
        /// The database's error.
        source: dynoxide::DynoxideError,
    },
    /// The port cannot be bound.
    #[error("the embedded DynamoDB cannot listen on 127.0.0.1:{port}: {source}")]
    Listen {
        /// The requested port.
        port: u16,
        /// The operating system's error.
        source: io::Error,
    },
    /// The event loop of the serving thread could not be created.
    #[error("cannot start the embedded DynamoDB's event loop: {0}")]
    EventLoop(io::Error),
    /// What changed cannot be read from the database.
    #[error("cannot read what changed in the embedded DynamoDB: {0}")]
    Changes(rusqlite::Error),
    /// A file of the simulator's is not as it was written.
    #[error("{path}, line {line}, is damaged: {why}; without the files streams.* the tables stay and their streams begin anew", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The fault script cannot be read.
    #[error("cannot read the fault script {path}: {source}", path = path.display())]
    ScriptFile {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The fault script is none.
    #[error("the fault script {path} is not understood: {source}", path = path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The control API's address cannot be bound.
    #[error("cannot listen on {address} for the simulator's control: {source}")]
    Control {
        /// The requested address.
        address: std::net::SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The simulated clock cannot be moved so far.
    #[error("the clock moves by {longest} at most at one time, and no further than the year 9000")]
    TooFar {
        /// The most that it moves.
        longest: humantime::FormattedDuration,
    },
    /// The database ended while it was being started, or was used after its end.
    #[error("the embedded DynamoDB has ended")]
    Ended,
    /// The demo table was refused.
    #[error("the embedded DynamoDB refused to make the demo table {table_name}: {source}")]
    CreateTable {
        /// The table's name.
        table_name: String,
        /// The database's error.
        source: dynoxide::DynoxideError,
    },
}
