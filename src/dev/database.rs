//! A handle to the embedded database, for all who call it.

use dynoxide::Database;

/// A handle to the database. Calls on it block: on the disk, and while another call runs.
#[derive(Clone)]
pub(super) struct SharedDatabase(Database);

impl SharedDatabase {
    /// A handle to `database`.
    pub(super) fn new(database: Database) -> Self {
        Self(database)
    }

    /// The database itself, which the others keep using.
    pub(super) fn into_inner(self) -> Database {
        self.0
    }
}

impl std::fmt::Debug for SharedDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SharedDatabase")
    }
}

impl std::ops::Deref for SharedDatabase {
    type Target = Database;

    fn deref(&self) -> &Database {
        &self.0
    }
}
