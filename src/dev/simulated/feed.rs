//! From the database to the model: the rows in which dynoxide notes what changed, taken in their
//! order, each once, and removed when they are many.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Row};
use shardstream_simulator::{Change, Model};

use super::clock::SimulatedClock;
use crate::dev::DevError;

/// How many rows are taken at one time.
const ROWS: usize = 1_000;

/// How many taken rows may lie in the database.
const TAKEN: i64 = 10_000;

const TAKE: &str = "SELECT id, table_name, keys_json, old_image, new_image, user_identity
     FROM _stream_records WHERE id > ?1 ORDER BY id LIMIT ?2";

/// The way of changes into the model.
#[derive(Debug)]
pub(super) struct Feed {
    /// Held while rows are taken, so that they reach the model in their order.
    rows: Mutex<Rows>,
    model: Arc<Mutex<Model>>,
    clock: SimulatedClock,
}

#[derive(Debug)]
struct Rows {
    connection: Connection,
    /// The newest that was taken.
    taken: i64,
    /// The newest that was removed.
    removed: i64,
}

impl Feed {
    /// From the database at `path`, which dynoxide has opened before; what changed until now is of
    /// no interest.
    pub(super) fn open(
        path: &Path,
        model: Arc<Mutex<Model>>,
        clock: SimulatedClock,
    ) -> Result<Self, DevError> {
        let connection = Connection::open(path).map_err(DevError::Changes)?;
        let newest = "SELECT COALESCE(MAX(id), 0) FROM _stream_records";
        let taken =
            connection.query_row(newest, [], |row| row.get(0)).map_err(DevError::Changes)?;
        let rows = Mutex::new(Rows { connection, taken, removed: taken });
        Ok(Self { rows, model, clock })
    }

    /// Takes all changes there are. Blocks on the disk.
    pub(super) fn take(&self) -> Result<(), DevError> {
        let mut rows = self.rows.lock();
        loop {
            let found = rows.take().map_err(DevError::Changes)?;
            let count = found.len();
            for (id, change) in found {
                rows.taken = id;
                match change {
                    Some(change) => drop(self.model.lock().change(&change, self.clock.now())),
                    None => {
                        tracing::error!(id, "a change in the embedded DynamoDB is not readable")
                    }
                }
            }
            if count < ROWS {
                return Ok(());
            }
        }
    }

    /// Removes what was taken, if it is much. Blocks on the disk.
    pub(super) fn remove(&self) -> Result<(), DevError> {
        let mut rows = self.rows.lock();
        if rows.taken - rows.removed < TAKEN {
            return Ok(());
        }
        let taken = rows.taken;
        let remove = "DELETE FROM _stream_records WHERE id <= ?1";
        rows.connection.execute(remove, [taken]).map_err(DevError::Changes)?;
        rows.removed = taken;
        Ok(())
    }
}

impl Rows {
    fn take(&self) -> rusqlite::Result<Vec<(i64, Option<Change>)>> {
        let mut statement = self.connection.prepare_cached(TAKE)?;
        let rows =
            statement.query_map((self.taken, ROWS as i64), |row| Ok((row.get(0)?, change(row)?)));
        rows?.collect()
    }
}

/// The change in a row; `None`: it is not in DynamoDB's JSON.
fn change(row: &Row<'_>) -> rusqlite::Result<Option<Change>> {
    let keys: String = row.get(2)?;
    let image = |at: usize| -> rusqlite::Result<_> {
        let text: Option<String> = row.get(at)?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose().ok())
    };
    let (Ok(keys), Some(old), Some(new)) = (serde_json::from_str(&keys), image(3)?, image(4)?)
    else {
        return Ok(None);
    };
    let expired = row.get::<_, Option<String>>(5)?.is_some();
    Ok(Some(Change { table: row.get(1)?, keys, old, new, expired }))
}
