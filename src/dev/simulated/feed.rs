//! The way into the model: the rows in which dynoxide notes what changed, taken in their order,
//! each once, and removed when they are many; and the beginnings and ends of streams. Where data
//! are kept, all of it is noted in the journal before it is done.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Row};
use shardstream_simulator::{Change, KeyElement, Millis, Model, Settings, ViewType};

use super::clock::SimulatedClock;
use super::journal::{Entry, Journal, Kept};
use crate::dev::DevError;

/// How many rows are taken at one time.
const ROWS: usize = 1_000;

/// How many taken rows may lie in the database.
const TAKEN: i64 = 10_000;

/// For how long ahead, by our clock, the times that the simulated one may show are noted.
const AHEAD: Millis = 10_000;

const TAKE: &str = "SELECT id, table_name, keys_json, old_image, new_image, user_identity
     FROM _stream_records WHERE id > ?1 ORDER BY id LIMIT ?2";

const NEWEST: &str = "SELECT COALESCE(MAX(id), 0) FROM _stream_records";

/// The tables whose streams are enabled, and their keys.
const ENABLED: &str = "SELECT table_name, key_schema FROM _tables WHERE stream_enabled = 1";

/// The way into the model.
#[derive(Debug)]
pub(super) struct Feed {
    /// Held while anything is done, so that all of it reaches journal and model in one order.
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
    journal: Option<Journal>,
    /// Beginnings and ends that are not done yet.
    turns: Vec<Turn>,
    /// No time later than this is shown.
    until: Millis,
}

/// The beginning or the end of a table's stream.
#[derive(Clone, Debug)]
enum Turn {
    Enable(String, ViewType, Vec<KeyElement>),
    Disable(String),
}

impl Turn {
    fn at(self, at: Millis) -> Entry {
        match self {
            Self::Enable(table, view, keys) => Entry::Enable { table, view, keys, at },
            Self::Disable(table) => Entry::Disable { table, at },
        }
    }
}

impl Feed {
    /// From the database at `path`, which dynoxide has opened before. In a `folder` that is kept it
    /// goes on where it was; otherwise what changed until now is of no interest.
    pub(super) fn open(
        path: &Path,
        folder: Option<&Path>,
        settings: Settings,
        time_scale: u32,
    ) -> Result<Self, DevError> {
        let connection = Connection::open(path).map_err(DevError::Changes)?;
        let newest = connection.query_row(NEWEST, [], |row| row.get(0));
        let newest: i64 = newest.map_err(DevError::Changes)?;
        let new = || Kept { row: newest, until: 0, model: Model::new(settings.clone()) };
        let (mut journal, mut kept) = match folder {
            None => (None, new()),
            Some(folder) => {
                let (journal, kept) = Journal::open(folder, new)?;
                (Some(journal), kept)
            }
        };
        if kept.model.settings() != &settings {
            kept.model.set(settings.clone());
            // The log after it is of these settings.
            journal.as_mut().map(|journal| journal.fold(&kept)).transpose()?;
        }
        let clock = SimulatedClock::begin(time_scale, kept.until, journal.is_some());
        let (taken, until) = (kept.row, kept.until);
        let rows = Rows { connection, taken, removed: 0, journal, turns: Vec::new(), until };
        let model = Arc::new(Mutex::new(kept.model));
        let feed = Self { rows: Mutex::new(rows), model, clock };
        feed.look_ahead(0)?;
        feed.take()?;
        feed.reconcile()?;
        Ok(feed)
    }

    pub(super) fn model(&self) -> &Arc<Mutex<Model>> {
        &self.model
    }

    pub(super) fn clock(&self) -> &SimulatedClock {
        &self.clock
    }

    /// Takes all changes there are. Blocks on the disk.
    pub(super) fn take(&self) -> Result<(), DevError> {
        let mut rows = self.rows.lock();
        self.turn(&mut rows)?;
        loop {
            let found = rows.find().map_err(DevError::Changes)?;
            let count = found.len();
            if count == 0 {
                return Ok(());
            }
            let mut changes = Vec::with_capacity(count);
            let mut last = rows.taken;
            for (id, change) in found {
                last = id;
                match change {
                    Some(change) => changes.push((id, Box::new(change))),
                    None => {
                        tracing::error!(id, "a change in the embedded DynamoDB is not readable")
                    }
                }
            }
            self.enter(&mut rows, |at| {
                let changes = changes.into_iter();
                changes.map(|(row, change)| Entry::Change { row, at, change }).collect()
            })?;
            rows.taken = last;
            if count < ROWS {
                return Ok(());
            }
        }
    }

    /// Begins the stream of a table. Blocks on the disk.
    pub(super) fn enable(
        &self,
        table: String,
        view: ViewType,
        keys: Vec<KeyElement>,
    ) -> Result<(), DevError> {
        let mut rows = self.rows.lock();
        rows.turns.push(Turn::Enable(table, view, keys));
        self.turn(&mut rows)
    }

    /// Ends the stream of a table. Blocks on the disk.
    pub(super) fn disable(&self, table: String) -> Result<(), DevError> {
        let mut rows = self.rows.lock();
        rows.turns.push(Turn::Disable(table));
        self.turn(&mut rows)
    }

    /// Moves the simulated clock forward. Blocks on the disk.
    pub(super) fn advance(&self, by: Millis) -> Result<(), DevError> {
        let longest = self.model.lock().settings().longest_step();
        if u128::from(by) > longest.as_millis() || !self.clock.reaches(by) {
            return Err(DevError::TooFar { longest: humantime::format_duration(longest) });
        }
        self.take()?;
        self.look_ahead(by)?;
        self.clock.advance(by);
        Ok(())
    }

    /// Does what is to be done now and then: notes which times may be shown, removes what was
    /// taken, and puts a snapshot in the place of a long log. Blocks on the disk.
    pub(super) fn keep(&self) -> Result<(), DevError> {
        self.look_ahead(0)?;
        let mut rows = self.rows.lock();
        if rows.taken - rows.removed >= TAKEN {
            let taken = rows.taken;
            let remove = "DELETE FROM _stream_records WHERE id <= ?1";
            rows.connection.execute(remove, [taken]).map_err(DevError::Changes)?;
            rows.removed = taken;
        }
        if rows.journal.as_ref().is_some_and(Journal::is_long) {
            let (row, until) = (rows.taken, rows.until);
            let kept = Kept { row, until, model: self.model.lock().clone() };
            rows.journal.as_mut().map(|journal| journal.fold(&kept)).transpose()?;
        }
        Ok(())
    }

    /// Notes which times may be shown, when half of what was noted has passed or the clock is about
    /// to move.
    fn look_ahead(&self, by: Millis) -> Result<(), DevError> {
        let mut rows = self.rows.lock();
        let (now, ahead) = (self.clock.now().saturating_add(by), self.clock.scaled(AHEAD));
        if rows.journal.is_some() && now + ahead / 2 >= rows.until {
            let at = now + ahead;
            self.enter(&mut rows, |_| vec![Entry::Until { at }])?;
            rows.until = at;
            self.clock.show_until(at);
        }
        Ok(())
    }

    /// Lets streams begin and end that are to. What cannot be noted is tried again before anything
    /// else is taken: its table has been changed, and what is written to it later is in its stream.
    fn turn(&self, rows: &mut Rows) -> Result<(), DevError> {
        if rows.turns.is_empty() {
            return Ok(());
        }
        let turns = rows.turns.clone();
        self.enter(rows, |at| turns.into_iter().map(|turn| turn.at(at)).collect())?;
        rows.turns.clear();
        Ok(())
    }

    /// Notes the entries of now, and does what they say. The model is held for all of it, and now
    /// is read while it is: whoever reads the model meanwhile would let happen what is due later, as
    /// the split of a shard, and what is read from the journal would be put before it.
    fn enter(
        &self,
        rows: &mut Rows,
        entries: impl FnOnce(Millis) -> Vec<Entry>,
    ) -> Result<(), DevError> {
        let mut model = self.model.lock();
        let entries = entries(self.clock.now());
        if entries.is_empty() {
            return Ok(());
        }
        if let Some(journal) = &mut rows.journal {
            journal.note(&entries)?;
        }
        for entry in entries {
            match entry {
                Entry::Enable { table, view, keys, at } => {
                    drop(model.enable(&table, view, keys, at))
                }
                Entry::Disable { table, at } => model.disable(&table, at),
                Entry::Change { at, change, .. } => drop(model.change(&change, at)),
                Entry::Until { .. } => {}
            }
        }
        Ok(())
    }

    /// Makes the streams agree with the tables: an end between a table's change and its note leaves
    /// them apart, and so does a folder that was filled without streams.
    fn reconcile(&self) -> Result<(), DevError> {
        let enabled = {
            let rows = self.rows.lock();
            rows.enabled().map_err(DevError::Changes)?
        };
        let known: Vec<String> = self.model.lock().tables().map(str::to_owned).collect();
        for table in known.iter().filter(|known| !enabled.iter().any(|(table, _)| table == *known))
        {
            self.disable(table.clone())?;
        }
        for (table, keys) in enabled.into_iter().filter(|(table, _)| !known.contains(table)) {
            let keys = serde_json::from_str(&keys).unwrap_or_default();
            self.enable(table, ViewType::NewAndOldImages, keys)?;
        }
        Ok(())
    }
}

impl Rows {
    fn find(&self) -> rusqlite::Result<Vec<(i64, Option<Change>)>> {
        let mut statement = self.connection.prepare_cached(TAKE)?;
        let rows =
            statement.query_map((self.taken, ROWS as i64), |row| Ok((row.get(0)?, change(row)?)));
        rows?.collect()
    }

    fn enabled(&self) -> rusqlite::Result<Vec<(String, String)>> {
        let mut statement = self.connection.prepare(ENABLED)?;
        let tables = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        tables?.collect()
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    /// What of dynoxide's schema is read here.
    const SCHEMA: &str = "
        CREATE TABLE _stream_records (id INTEGER PRIMARY KEY, table_name TEXT, keys_json TEXT,
            old_image TEXT, new_image TEXT, user_identity TEXT);
        CREATE TABLE _tables (table_name TEXT, key_schema TEXT, stream_enabled INTEGER);
        INSERT INTO _tables VALUES ('orders', '[{\"AttributeName\":\"pk\",\"KeyType\":\"HASH\"}]', 1);";

    /// A feed of one table, and its database, in a folder.
    fn stage(folder: &Path, settings: Settings) -> (Feed, Connection) {
        let path = folder.join("database");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let feed = Feed::open(&path, Some(folder), settings, 1).unwrap();
        (feed, connection)
    }

    fn write(connection: &Connection) {
        let item = json!({"pk": {"S": "a"}}).to_string();
        let insert = "INSERT INTO _stream_records (table_name, keys_json, new_image)
            VALUES ('orders', ?1, ?1)";
        connection.execute(insert, [&item]).unwrap();
    }

    /// Notes from here on into that file; the one of before.
    fn swap(feed: &Feed, log: File) -> File {
        feed.rows.lock().journal.as_mut().unwrap().swap(log)
    }

    /// What is read from the journal.
    fn again(folder: &Path, settings: &Settings) -> String {
        let new = || Kept { row: 0, until: 0, model: Model::new(settings.clone()) };
        serde_json::to_string(&Journal::open(folder, new).unwrap().1.model).unwrap()
    }

    #[test]
    fn a_stream_that_begins_on_a_full_disk_has_what_is_written_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (feed, connection) = stage(folder.path(), Settings::default());
        feed.disable("orders".into()).unwrap();
        let full = File::options().append(true).open("/dev/full").unwrap();
        let disk = swap(&feed, full);
        let keys = serde_json::from_value(json!([{"AttributeName": "pk", "KeyType": "HASH"}]));
        let begun = feed.enable("orders".into(), ViewType::KeysOnly, keys.unwrap());
        assert!(begun.unwrap_err().to_string().contains("No space left on device"));
        write(&connection);
        feed.take().unwrap_err();
        swap(&feed, disk);
        feed.take().unwrap();
        assert_eq!(feed.model.lock().enabled("orders").unwrap().2, ViewType::KeysOnly);
        assert!(feed.model.lock().bytes() > 0, "the change is in no stream");
        let live = serde_json::to_string(&*feed.model.lock()).unwrap();
        drop(feed);
        assert_eq!(again(folder.path(), &Settings::default()), live);
    }

    #[test]
    fn a_change_amid_a_split_is_where_it_was_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        // Shards live three to five seconds, which pass while the change is on its way.
        let settings = Settings { rollover: Duration::from_secs(4), ..Settings::default() };
        let (feed, connection) = stage(folder.path(), settings.clone());
        write(&connection);
        std::thread::scope(|scope| {
            let mut model = feed.model.lock();
            let noted = |feed: &Feed| feed.rows.try_lock().is_some();
            let taking = scope.spawn(|| feed.take().unwrap());
            while noted(&feed) {
                std::thread::yield_now();
            }
            // It has what it needs by now, or waits for the model.
            for _ in 0..20_000 {
                std::thread::yield_now();
            }
            feed.clock.advance(6_000);
            model.tick(feed.clock.now());
            drop(model);
            taking.join().unwrap();
        });
        let live = serde_json::to_string(&*feed.model.lock()).unwrap();
        drop(feed);
        assert_eq!(again(folder.path(), &settings), live);
    }
}
