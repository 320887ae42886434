//! Where a subscription keeps how far it has come.
//!
//! What is kept is one text: the stream's newest token, then newer tokens of its shards, separated
//! by blanks. Clients in all languages write the same, so a program in one goes on where one in
//! another stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

/// What a store of the program's own may fail with.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps a position.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// The position that was kept last; empty when there is none.
    async fn load(&self) -> Result<String, StoreError>;

    /// Keeps the position. Called when the program asks for the next message, so after it is done
    /// with what the position covers, never before.
    async fn save(&self, position: &str) -> Result<(), StoreError>;
}

/// Keeps the position as long as the program runs. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryTokenStore(Arc<Mutex<String>>);

impl MemoryTokenStore {
    /// A store that holds `position` at first.
    pub fn new(position: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(position.into())))
    }

    /// The position.
    pub fn position(&self) -> String {
        self.0.lock().clone()
    }
}

#[async_trait]
impl TokenStore for MemoryTokenStore {
    async fn load(&self) -> Result<String, StoreError> {
        Ok(self.position())
    }

    async fn save(&self, position: &str) -> Result<(), StoreError> {
        position.clone_into(&mut self.0.lock());
        Ok(())
    }
}

/// Keeps the position in a file, which is replaced whole: killing the program never leaves half a
/// token. It is written while the task that reads waits; the file is small.
#[derive(Clone, Debug)]
pub struct FileTokenStore {
    path: PathBuf,
    sync: bool,
}

impl FileTokenStore {
    /// A store in the file at `path`, whose folder must exist.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), sync: false }
    }

    /// Whether it also survives a loss of power, at the price of a disk write for each message.
    pub fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    fn replace(&self, position: &str) -> io::Result<()> {
        let mut draft = self.path.clone().into_os_string();
        draft.push(format!(".{}.new", std::process::id()));
        std::fs::write(&draft, position)?;
        if self.sync {
            std::fs::File::open(&draft)?.sync_all()?;
        }
        std::fs::rename(&draft, &self.path)
    }
}

#[async_trait]
impl TokenStore for FileTokenStore {
    async fn load(&self) -> Result<String, StoreError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn save(&self, position: &str) -> Result<(), StoreError> {
        Ok(self.replace(position)?)
    }
}
