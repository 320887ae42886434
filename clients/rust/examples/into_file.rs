//! Copies a table into a file, each change exactly once: items and position are kept together, in
//! a file that is replaced whole.
//!
//! ```sh
//! cargo run -p shardstream-client --example into_file -- TABLE FILE [TARGET]
//! cargo run -p shardstream-client --example into_file -- FILE     prints the copy
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use shardstream_client::{Client, Record, StoreError, TokenStore};

/// The items and the position. It is the subscription's token store, too.
#[derive(Default, Serialize, Deserialize)]
struct Copied {
    position: String,
    items: BTreeMap<String, Row>,
}

#[derive(Default, Serialize, Deserialize)]
struct Row {
    item: serde_json::Value,
    changes: u64,
}

impl Copied {
    fn read(file: &Path) -> Result<Self, StoreError> {
        match std::fs::read(file) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// One change. It is kept when the store is saved, which is when its message is done.
    fn apply(&mut self, record: &Record) -> Result<(), StoreError> {
        let key = format!("{:?}", record.key());
        match record.new_image_as()? {
            None => drop(self.items.remove(&key)),
            Some(item) => {
                let row = self.items.entry(key).or_default();
                (row.item, row.changes) = (item, row.changes + 1);
            }
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Store {
    file: PathBuf,
    copied: Arc<Mutex<Copied>>,
}

#[async_trait]
impl TokenStore for Store {
    async fn load(&self) -> Result<String, StoreError> {
        Ok(self.copied.lock().position.clone())
    }

    async fn save(&self, position: &str) -> Result<(), StoreError> {
        let mut copied = self.copied.lock();
        position.clone_into(&mut copied.position);
        let draft = self.file.with_extension("new");
        std::fs::write(&draft, serde_json::to_vec(&*copied)?)?;
        Ok(std::fs::rename(draft, &self.file)?)
    }
}

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (table, file, target) = match &arguments[..] {
        [file] => {
            for (key, row) in Copied::read(file.as_ref())?.items {
                println!("{key} {} {}", row.item, row.changes);
            }
            return Ok(());
        }
        [table, file] => (table, PathBuf::from(file), "localhost:50051"),
        [table, file, target] => (table, PathBuf::from(file), target.as_str()),
        _ => return Err("usage: into_file [TABLE] FILE [TARGET]".into()),
    };
    let store = Store { copied: Arc::new(Mutex::new(Copied::read(&file)?)), file };
    let mut records = Client::new(target)?.subscribe(table).store(store.clone()).open();
    while let Some(message) = records.next().await {
        let message = message?;
        let mut copied = store.copied.lock();
        message.records.iter().try_for_each(|record| copied.apply(record))?;
    }
    Ok(())
}
