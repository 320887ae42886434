//! Gives a table that is created again an empty stream.
//!
//! dynoxide 3.2.0 keeps a deleted table's stream records under the table's name, and a new table of
//! that name shows them as its own; so does a stream that is disabled and enabled again. In AWS
//! both are new streams with new shards. We never reuse the demo table's name, but developers who
//! use this endpoint create and drop the same table all day. Two triggers in dynoxide's private
//! schema delete the old records; should that schema change, the triggers are left out, as the
//! index is. Deleting a million records takes seconds.

use std::path::Path;

use rusqlite::Connection;

/// Safe to run on every start: a kept file already has the triggers. A table's first stream has no
/// records to delete.
const CREATE: &str = "
    CREATE TRIGGER IF NOT EXISTS shardstream_table_deleted AFTER DELETE ON _tables
    BEGIN DELETE FROM _stream_records WHERE table_name = OLD.table_name; END;
    CREATE TRIGGER IF NOT EXISTS shardstream_stream_enabled AFTER UPDATE OF stream_label ON _tables
    WHEN OLD.stream_label IS NOT NEW.stream_label
    BEGIN DELETE FROM _stream_records WHERE table_name = OLD.table_name; END;";

/// Adds the triggers to the database at `path`, which dynoxide has opened before and which is not
/// in use yet.
pub(super) fn ensure(path: &Path) {
    if let Err(error) =
        Connection::open(path).and_then(|connection| connection.execute_batch(CREATE))
    {
        tracing::warn!(%error, "a table made anew in the embedded DynamoDB will show its predecessor's stream records");
    }
}
