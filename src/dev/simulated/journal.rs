//! What the streams are, kept on disk: a snapshot, and after it a log of all that was told to the
//! model since. The model makes the same of the same, so that is all it takes.
//!
//! Both bear a number. A new snapshot has the next one and an empty log of its own, and is there
//! when its file gets its name; those of before are removed then. A log is written before what it
//! says is done, in one call to the system: an end at any moment leaves whole lines, and at most one
//! that is not, which was never done.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shardstream_simulator::{Change, KeyElement, Millis, Model, ViewType};

use crate::dev::DevError;

/// How long a log gets before a snapshot takes its place, at least.
const LONG: u64 = 64 << 20;

/// One line of the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Entry {
    /// The stream of a table began.
    Enable { table: String, view: ViewType, keys: Vec<KeyElement>, at: Millis },
    /// It ended.
    Disable { table: String, at: Millis },
    /// An item changed, as this row of the database says.
    Change { row: i64, at: Millis, change: Box<Change> },
    /// No time later than this was shown to anybody.
    Until { at: Millis },
}

/// All that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// The newest row of the database that was taken.
    pub(super) row: i64,
    /// No time later than this was shown to anybody.
    pub(super) until: Millis,
    pub(super) model: Model,
}

/// A folder that keeps it.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    number: u64,
    log: File,
    length: u64,
    /// Behind its length is what could be neither written whole nor removed.
    torn: bool,
    /// A longer log gives way to a snapshot.
    long: u64,
}

impl Kept {
    /// Does what an entry says.
    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Enable { table, view, keys, at } => {
                self.model.enable(&table, view, keys, at);
            }
            Entry::Disable { table, at } => self.model.disable(&table, at),
            Entry::Change { row, at, change } => {
                self.row = row;
                self.model.change(&change, at);
            }
            Entry::Until { at } => self.until = self.until.max(at),
        }
    }
}

impl Journal {
    /// Opens a folder, and reads what it keeps; `new` makes it where there is nothing.
    pub(super) fn open(
        folder: &Path,
        new: impl FnOnce() -> Kept,
    ) -> Result<(Self, Kept), DevError> {
        let failed = |source| DevError::Folder { path: folder.to_owned(), source };
        let newest = newest(folder).map_err(failed)?;
        let kept = match newest {
            None => new(),
            Some(number) => read(folder, number)?,
        };
        let journal = Self::begin(folder, newest.map_or(1, |number| number + 1), &kept);
        Ok((journal.map_err(failed)?, kept))
    }

    /// Notes entries, all or none of them.
    pub(super) fn note(&mut self, entries: &[Entry]) -> Result<(), DevError> {
        let failed = |source| DevError::Folder { path: self.folder.clone(), source };
        let mut lines = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut lines, entry).map_err(|error| failed(error.into()))?;
            lines.push(b'\n');
        }
        if self.torn {
            self.log.set_len(self.length).map_err(failed)?;
            self.torn = false;
        }
        if let Err(error) = self.log.write_all(&lines) {
            // A full disk may have taken half of it.
            self.torn = self.log.set_len(self.length).is_err();
            return Err(failed(error));
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// Whether it is time for a snapshot.
    pub(super) fn is_long(&self) -> bool {
        self.length > self.long
    }

    /// Writes to another file from here on; the one of before.
    #[cfg(test)]
    pub(super) fn swap(&mut self, log: File) -> File {
        std::mem::replace(&mut self.log, log)
    }

    /// Puts a snapshot in the place of all that is noted. Where it cannot, all stays as it was, and
    /// is tried again when the log is twice as long: a snapshot costs as much as it holds.
    pub(super) fn fold(&mut self, kept: &Kept) -> Result<(), DevError> {
        match Self::begin(&self.folder, self.number + 1, kept) {
            Ok(next) => *self = next,
            Err(source) => {
                self.long = 2 * self.length;
                return Err(DevError::Folder { path: self.folder.clone(), source });
            }
        }
        Ok(())
    }

    /// Begins with what is kept. It fails only before the new snapshot has its name, and then what
    /// is there counts on, without what was begun.
    fn begin(folder: &Path, number: u64, kept: &Kept) -> io::Result<Self> {
        let (unnamed, log) = (folder.join("streams.new"), log(folder, number));
        Self::write(folder, number, kept, &unnamed, &log).inspect_err(|_| {
            for path in [&unnamed, &log] {
                // It takes space that may be what is wanted; and the next try writes over it.
                let _ = fs::remove_file(path);
            }
        })
    }

    fn write(
        folder: &Path,
        number: u64,
        kept: &Kept,
        unnamed: &Path,
        log: &Path,
    ) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(unnamed)?);
        serde_json::to_writer(&mut file, kept)?;
        file.flush()?;
        let bytes = file.get_ref().metadata()?.len();
        let options = OpenOptions::new().create(true).append(true).clone();
        let log = options.open(log)?;
        log.set_len(0)?;
        fs::rename(unnamed, snapshot(folder, number))?;
        // From here on this one counts, whatever happens.
        remove_before(folder, number);
        let long = LONG.max(2 * bytes);
        Ok(Self { folder: folder.to_owned(), number, log, length: 0, torn: false, long })
    }
}

/// Removes the files of older numbers. Those that stay mean nothing, and are tried again with the
/// next snapshot.
fn remove_before(folder: &Path, number: u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if numbered(&entry.path()).is_some_and(|other| other < number)
            && let Err(error) = fs::remove_file(entry.path())
        {
            let path = entry.path().display().to_string();
            tracing::warn!(%error, path, "an old file of the simulator's stays");
        }
    }
}

fn snapshot(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("streams.{number}.json"))
}

fn log(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("streams.{number}.log"))
}

/// The number of a file of ours.
fn numbered(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix("streams.")?;
    name.strip_suffix(".json").or(name.strip_suffix(".log"))?.parse().ok()
}

/// The number of the newest snapshot.
fn newest(folder: &Path) -> io::Result<Option<u64>> {
    let files = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let snapshots = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    Ok(snapshots.filter_map(|path| numbered(&path)).max())
}

fn read(folder: &Path, number: u64) -> Result<Kept, DevError> {
    let path = snapshot(folder, number);
    let damaged = |path: &Path, line: usize, why: String| DevError::Damaged {
        path: path.to_owned(),
        line,
        why,
    };
    let unread = |source| DevError::Folder { path: folder.to_owned(), source };
    let text = fs::read(&path).map_err(unread)?;
    let kept = serde_json::from_slice::<Kept>(&text);
    let mut kept = kept.map_err(|error| damaged(&path, error.line(), error.to_string()))?;
    let path = log(folder, number);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        text => text.map_err(unread)?,
    };
    // Behind the last line break is what was never done.
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for (number, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let entry = serde_json::from_slice(line);
        kept.apply(entry.map_err(|error| damaged(&path, number + 1, error.to_string()))?);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shardstream_simulator::Settings;

    use super::*;

    fn nothing() -> Kept {
        Kept { row: 0, until: 0, model: Model::new(Settings::default()) }
    }

    fn entries() -> Vec<Entry> {
        let keys: Vec<KeyElement> =
            serde_json::from_value(json!([{"AttributeName": "pk", "KeyType": "HASH"}])).unwrap();
        let change = |row: i64| {
            let item = json!({"pk": {"S": row.to_string()}});
            let change = json!({"table": "orders", "keys": item, "old": null, "new": item});
            Entry::Change { row, at: 1_000, change: serde_json::from_value(change).unwrap() }
        };
        let enable =
            Entry::Enable { table: "orders".into(), view: ViewType::KeysOnly, keys, at: 500 };
        vec![enable, change(1), change(2), Entry::Until { at: 9_000 }]
    }

    fn text(kept: &Kept) -> String {
        serde_json::to_string(kept).unwrap()
    }

    #[test]
    fn what_was_noted_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut kept) = Journal::open(folder.path(), nothing).unwrap();
        journal.note(&entries()).unwrap();
        for entry in entries() {
            kept.apply(entry);
        }
        let (mut journal, again) = Journal::open(folder.path(), nothing).unwrap();
        assert_eq!(text(&kept), text(&again));
        assert_eq!((again.row, again.until), (2, 9_000));
        journal.fold(&again).unwrap();
        let (_, again) = Journal::open(folder.path(), nothing).unwrap();
        assert_eq!(text(&kept), text(&again));
        // Only the newest two files stay.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// What is noted of a change with that row.
    fn change(row: i64) -> Vec<Entry> {
        let mut entries = entries();
        let mut change = entries.remove(1);
        if let Entry::Change { row: at, .. } = &mut change {
            *at = row;
        }
        vec![change]
    }

    #[test]
    fn a_full_disk_is_told_and_what_is_noted_later_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut kept) = Journal::open(folder.path(), nothing).unwrap();
        journal.note(&entries()).unwrap();
        entries().into_iter().for_each(|entry| kept.apply(entry));
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let disk = journal.swap(full);
        let told = journal.note(&change(3)).unwrap_err().to_string();
        assert!(told.contains("No space left on device"), "{told}");
        assert!(told.contains(&folder.path().display().to_string()), "{told}");
        // Half of it is there, and could not be removed.
        (&disk).write_all(br#"{"change":{"row":3"#).unwrap();
        journal.swap(disk);
        journal.note(&change(4)).unwrap();
        change(4).into_iter().for_each(|entry| kept.apply(entry));
        let (_, again) = Journal::open(folder.path(), nothing).unwrap();
        assert_eq!(text(&kept), text(&again));
    }

    #[test]
    fn a_snapshot_that_cannot_be_written_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut kept) = Journal::open(folder.path(), nothing).unwrap();
        let next = journal.number + 1;
        // It cannot have its name, for there is such a folder.
        fs::create_dir_all(snapshot(folder.path(), next).join("taken")).unwrap();
        journal.fold(&kept).unwrap_err();
        assert!(!folder.path().join("streams.new").exists());
        assert!(!log(folder.path(), next).exists());
        journal.note(&entries()).unwrap();
        entries().into_iter().for_each(|entry| kept.apply(entry));
        fs::remove_dir_all(snapshot(folder.path(), next)).unwrap();
        let (_, again) = Journal::open(folder.path(), nothing).unwrap();
        assert_eq!(text(&kept), text(&again));
    }

    #[test]
    fn an_old_file_that_stays_does_not_bring_back_what_was_before() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut kept) = Journal::open(folder.path(), nothing).unwrap();
        // What has an old number and cannot be removed as a file.
        fs::create_dir_all(log(folder.path(), 0).join("stays")).unwrap();
        journal.fold(&kept).unwrap();
        journal.note(&entries()).unwrap();
        entries().into_iter().for_each(|entry| kept.apply(entry));
        let (_, again) = Journal::open(folder.path(), nothing).unwrap();
        assert_eq!(text(&kept), text(&again));
    }

    #[test]
    fn half_a_line_at_the_end_was_never_done() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path(), nothing).unwrap();
        journal.note(&entries()).unwrap();
        let path = log(folder.path(), journal.number);
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5]).unwrap();
        let (_, kept) = Journal::open(folder.path(), nothing).unwrap();
        assert_eq!((kept.row, kept.until), (2, 0));
    }

    #[test]
    fn damage_is_told_with_its_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path(), nothing).unwrap();
        journal.note(&entries()).unwrap();
        let path = log(folder.path(), journal.number);
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, whole.replacen("change", "chance", 1)).unwrap();
        let error = Journal::open(folder.path(), nothing).unwrap_err().to_string();
        assert!(error.contains("streams.1.log") && error.contains("line 2"), "{error}");
    }

    #[test]
    fn an_end_before_a_snapshot_has_its_name_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, _) = Journal::open(folder.path(), nothing).unwrap();
        journal.note(&entries()).unwrap();
        fs::write(folder.path().join("streams.new"), "{").unwrap();
        fs::write(log(folder.path(), journal.number + 1), "").unwrap();
        let (_, kept) = Journal::open(folder.path(), nothing).unwrap();
        assert_eq!(kept.row, 2);
    }
}
