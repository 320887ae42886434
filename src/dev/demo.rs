//! The demo table, and the task that keeps changing its items.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dynoxide::actions::create_table::{CreateTableRequest, StreamSpecification};
use dynoxide::actions::delete_item::DeleteItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::types::{AttributeDefinition, KeySchemaElement, KeyType, ScalarAttributeType};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info_span};

use super::database::SharedDatabase;
use super::item::{DemoWrite, KEY};
use super::{DevError, Embedded};

/// What every demo table's name begins with. The whole stays within 11 to 48 characters: dynoxide's
/// shard ids contain the table's name, and AWS SDKs refuse shard ids outside 28 to 65 characters.
const NAME_PREFIX: &str = "shardstream-demo-";

/// A table with a stream, made for this run.
#[derive(Debug)]
pub struct Demo {
    /// A new name each time, so the stream begins empty and its shard is not shared.
    pub table_name: String,
    /// The stream, with both images.
    pub stream_arn: String,
    database: SharedDatabase,
    ended: CancellationToken,
}

impl Demo {
    /// Makes the table. Tables of earlier runs, in a folder that was kept, stay as they are.
    pub async fn create(embedded: &Embedded, tracker: &TaskTracker) -> Result<Self, DevError> {
        let table_name = table_name(SystemTime::now());
        let request = create_table(&table_name);
        let database = embedded.database().clone();
        let created = tracker.spawn_blocking(move || database.create_table(request));
        let created = created.await.map_err(|_| DevError::Ended)?;
        let created = created
            .map_err(|source| DevError::CreateTable { table_name: table_name.clone(), source })?;
        let stream_arn = created
            .table_description
            .latest_stream_arn
            .expect("the table was asked for with a stream");
        let (database, ended) = (embedded.database().clone(), embedded.ended().clone());
        Ok(Self { table_name, stream_arn, database, ended })
    }

    /// The table's partition key.
    pub(super) fn key(&self) -> &'static str {
        KEY
    }

    /// Changes the table `writes_per_second` times a second, evenly, until `until` is cancelled or
    /// the embedded DynamoDB ends; 0 writes nothing. Spawned on `tracker`; the task returns the
    /// number of changes made. Inserts, modifies and removes a few keys in turn; `rng` decides the
    /// items' content.
    pub fn write_until(
        &self,
        writes_per_second: u32,
        rng: fastrand::Rng,
        tracker: &TaskTracker,
        until: CancellationToken,
    ) -> JoinHandle<u64> {
        let writer = DemoWriter {
            table_name: self.table_name.clone(),
            database: self.database.clone(),
            rng,
            written: 0,
        };
        let span = info_span!("demo_writes", table = writer.table_name);
        let writing = writer.run(writes_per_second, until, self.ended.clone(), tracker.clone());
        tracker.spawn(writing.instrument(span))
    }
}

/// The state of one [`Demo::write_until`].
struct DemoWriter {
    table_name: String,
    database: SharedDatabase,
    rng: fastrand::Rng,
    written: u64,
}

impl DemoWriter {
    async fn run(
        mut self,
        writes_per_second: u32,
        until: CancellationToken,
        ended: CancellationToken,
        tracker: TaskTracker,
    ) -> u64 {
        if writes_per_second == 0 {
            return 0;
        }
        let mut turns = tokio::time::interval(Duration::from_secs(1) / writes_per_second);
        // After a slow write the next ones follow without pause: the average rate is kept, and
        // ticks closer than the clock's millisecond come in bursts. A database too slow for the
        // rate is written to without pause.
        turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut failing = false;
        loop {
            // Three events: cancelled, the database has ended, the next tick. A cancellation stays,
            // and a tick not taken comes again: all are cancel-safe. Biased, so that no write
            // follows the end.
            tokio::select! {
                biased;
                () = until.cancelled() => return self.written,
                () = ended.cancelled() => return self.written,
                _ = turns.tick() => {}
            }
            match self.write(&tracker).await {
                Ok(()) => {
                    self.written += 1;
                    failing = false;
                }
                // Logged once until a write succeeds again: the next tick retries the same change.
                Err(error) if !failing => {
                    tracing::warn!(error, table = self.table_name, "demo write failed; trying on");
                    failing = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Makes the next change on a blocking thread, because it waits for the disk.
    async fn write(&mut self, tracker: &TaskTracker) -> Result<(), String> {
        let change = DemoWrite::nth(self.written, &mut self.rng);
        let (table_name, database) = (self.table_name.clone(), self.database.clone());
        let write = move || match change {
            DemoWrite::Put(item) => database
                .put_item(PutItemRequest { table_name, item, ..Default::default() })
                .map(drop),
            DemoWrite::Delete(key) => database
                .delete_item(DeleteItemRequest { table_name, key, ..Default::default() })
                .map(drop),
        };
        let written = tracker.spawn_blocking(write).await.map_err(|error| error.to_string())?;
        written.map_err(|error| error.to_string())
    }
}

/// A name that no other run uses: the time in microseconds, in base 36.
fn table_name(now: SystemTime) -> String {
    let mut rest = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let mut digits = Vec::new();
    while rest > 0 || digits.is_empty() {
        let digit = u32::try_from(rest % 36).expect("a remainder of 36 is small");
        digits.push(char::from_digit(digit, 36).expect("a remainder of 36 is a digit in base 36"));
        rest /= 36;
    }
    digits
        .iter()
        .rev()
        .fold(NAME_PREFIX.to_owned(), |name, digit| name + digit.encode_utf8(&mut [0; 4]))
}

/// The request for a table of items under one text key, with a stream of both images.
fn create_table(table_name: &str) -> CreateTableRequest {
    CreateTableRequest {
        table_name: table_name.to_owned(),
        key_schema: vec![KeySchemaElement {
            attribute_name: KEY.to_owned(),
            key_type: KeyType::HASH,
        }],
        attribute_definitions: vec![AttributeDefinition {
            attribute_name: KEY.to_owned(),
            attribute_type: ScalarAttributeType::S,
        }],
        billing_mode: Some("PAY_PER_REQUEST".to_owned()),
        stream_specification: Some(StreamSpecification {
            stream_enabled: true,
            stream_view_type: Some("NEW_AND_OLD_IMAGES".to_owned()),
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_by_time_and_have_a_fitting_length() {
        let at = |micros| table_name(UNIX_EPOCH + Duration::from_micros(micros));
        assert_eq!(at(0), "shardstream-demo-0");
        assert_eq!(at(36), "shardstream-demo-10");
        let now = table_name(SystemTime::now());
        assert_ne!(now, at(36));
        assert!((11..=48).contains(&now.len()) && at(u64::MAX >> 8).len() <= 48, "{now}");
    }
}
