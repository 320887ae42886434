//! The index that dynoxide 3.2.0 lacks.
//!
//! All stream records of all tables are in one table of its private schema, `_stream_records`,
//! without an index: each write queries the highest sequence number of its stream, each read those
//! above a number, and both scan everything. One index added from outside makes both a lookup,
//! however long the stream. The sequence numbers are stored as text and compared as integers, so
//! that expression is indexed. `DescribeStream` and `LATEST` query the lowest and the highest
//! number in one statement, which cannot be a lookup; with `shard_id` in the index they at least
//! need not fetch the records themselves.
//!
//! Measured on two busy cores, from an empty stream to one of a million records
//! (`tests/it/embedded/dev/flat.rs`): 16 writers through the AWS SDK made 1200 and 900 changes a
//! second, a change was read 0.8 and 1.3 ms after the request; without the index, writes fall to
//! 150 a second within 40,000 records. `DescribeStream` takes 0.2 to 0.4 s at a million, and no
//! other call is served meanwhile.
//!
//! The schema is private, hence the exact pin in `Cargo.toml`, a test below that reads the query
//! plans of the very statements dynoxide runs, and no failure if the table is not as expected: then
//! it is only slow.

use std::path::Path;

use rusqlite::Connection;

/// Safe to run on every start: a kept file already has the index.
const CREATE: &str = "CREATE INDEX IF NOT EXISTS shardstream_stream_order
     ON _stream_records (table_name, CAST(sequence_number AS INTEGER), shard_id)";

/// Adds the index to the database at `path`, which dynoxide has opened before and which is not in
/// use yet.
pub(super) fn ensure(path: &Path) {
    if let Err(error) =
        Connection::open(path).and_then(|connection| connection.execute_batch(CREATE))
    {
        tracing::warn!(%error, "no index on the embedded DynamoDB's stream records: it gets slower with every write");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use dynoxide::storage::Storage;
    use rusqlite::trace::{TraceEvent, TraceEventCodes};

    use super::*;

    /// The statements dynoxide ran on its stream records. A static, because SQLite's trace takes a
    /// bare function.
    static RUN: Mutex<Vec<String>> = Mutex::new(Vec::new());

    fn note(event: TraceEvent<'_>) {
        if let TraceEvent::Stmt(_, sql) = event
            && sql.starts_with("SELECT")
        {
            RUN.lock().unwrap().push(sql.to_owned());
        }
    }

    #[test]
    fn every_statement_dynoxide_runs_on_its_stream_records_uses_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let storage = Storage::new(path.to_str().unwrap()).unwrap();
        ensure(&path);
        storage.conn().trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(note));
        storage.next_stream_sequence_number("table").unwrap();
        storage.get_stream_records("table", "shard", 7, 10).unwrap();
        storage.get_shard_sequence_range("table", "shard").unwrap();
        storage.conn().trace_v2(TraceEventCodes::empty(), None);

        let statements = std::mem::take(&mut *RUN.lock().unwrap());
        let plan = |sql: &str| -> String {
            let connection = Connection::open(&path).unwrap();
            let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let lines =
                explain.raw_query().mapped(|row| row.get::<_, String>(3)).map(Result::unwrap);
            lines.collect::<Vec<_>>().join("; ")
        };
        let plans: Vec<_> = statements.iter().map(|sql| plan(sql)).collect();
        let [write, read, range] = &plans[..] else {
            panic!("three statements expected: {statements:#?}")
        };
        assert!(write.contains("INDEX shardstream_stream_order (table_name=?)"), "{write}");
        // No sort step: the index also gives the order, so reading a page costs only that page.
        assert!(
            read.ends_with("INDEX shardstream_stream_order (table_name=? AND <expr>>?)"),
            "{read}"
        );
        assert!(range.contains("COVERING INDEX shardstream_stream_order"), "{range}");
    }

    #[test]
    fn a_changed_schema_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE _stream_records (renamed TEXT)")
            .unwrap();
        ensure(&path);
    }
}
