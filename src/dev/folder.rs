//! The data folder: a temporary one that is removed, or one the user named, which is kept.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::DevError;

/// The database's file in its folder.
const DATABASE_FILE: &str = "dynamodb.sqlite";
/// Locked while the folder is in use: two processes on one database would each trust their own
/// cache of its tables.
const LOCK_FILE: &str = "dynamodb.lock";

/// A data folder, used by this process alone for as long as the value lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Unlocks the folder when dropped. Declared before `_temporary`: the file is closed before its
    /// folder is removed.
    _lock: File,
    /// Removes the folder when dropped. `None` when the user named the folder.
    _temporary: Option<TempDir>,
}

impl Folder {
    /// Opens `data_dir`, created if it is missing, or a temporary folder when `None`.
    pub(super) fn open(data_dir: Option<&Path>) -> Result<Self, DevError> {
        let temporary = match data_dir {
            Some(_) => None,
            None => Some(
                tempfile::Builder::new()
                    .prefix("shardstream-dev-")
                    .tempdir()
                    .map_err(DevError::TemporaryFolder)?,
            ),
        };
        let path = data_dir
            .or(temporary.as_ref().map(TempDir::path))
            .expect("one of the two was just made")
            .to_owned();
        let failed = |source| DevError::Folder { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::create(path.join(LOCK_FILE)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock, _temporary: temporary }),
            Err(TryLockError::WouldBlock) => Err(DevError::FolderInUse { path }),
            Err(TryLockError::Error(source)) => Err(DevError::Folder { path, source }),
        }
    }

    /// The folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The database's file.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE_FILE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_folder_goes_and_a_named_one_stays() {
        let temporary = Folder::open(None).unwrap();
        let path = temporary.path().to_owned();
        assert!(path.is_dir());
        drop(temporary);
        assert!(!path.exists());

        let parent = tempfile::tempdir().unwrap();
        let named = parent.path().join("made/on/demand");
        drop(Folder::open(Some(&named)).unwrap());
        assert!(named.is_dir());
    }

    #[test]
    fn a_folder_has_one_user_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let first = Folder::open(Some(parent.path())).unwrap();
        assert!(matches!(Folder::open(Some(parent.path())), Err(DevError::FolderInUse { .. })));
        drop(first);
        Folder::open(Some(parent.path())).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Folder::open(Some(&file)).unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()), "{error}");
    }
}
