//! What is known of the shapes of records: for all shards of a stream together, as long as one of
//! them is read, and bounded over all streams.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::encode::Shapes;
use crate::model::StreamArn;

/// The most bytes that the shapes of all streams take; those of one take about 50 KB, and never much
/// more than a megabyte. What would be more is not learned.
const MOST_BYTES: usize = 32 << 20;

/// The shapes of all streams that are read.
#[derive(Debug, Default)]
pub(super) struct AllShapes {
    by_stream: Mutex<HashMap<StreamArn, Weak<StreamShapes>>>,
    bytes: Arc<AtomicUsize>,
}

/// The shapes of one stream.
#[derive(Debug)]
pub(super) struct StreamShapes {
    known: Mutex<Shapes>,
    /// The bytes of the shapes of all streams.
    bytes: Arc<AtomicUsize>,
    most: usize,
}

impl AllShapes {
    /// Those of a stream; new ones if no shard of it is being read.
    pub(super) fn of(&self, stream: &StreamArn) -> Arc<StreamShapes> {
        let mut streams = self.by_stream.lock();
        if let Some(shapes) = streams.get(stream).and_then(Weak::upgrade) {
            return shapes;
        }
        streams.retain(|_, shapes| shapes.strong_count() > 0);
        let shapes = Arc::new(StreamShapes {
            known: Mutex::default(),
            bytes: self.bytes.clone(),
            most: MOST_BYTES,
        });
        streams.insert(stream.clone(), Arc::downgrade(&shapes));
        shapes
    }
}

impl StreamShapes {
    /// What is known now.
    pub(super) fn known(&self) -> Shapes {
        self.known.lock().clone()
    }

    /// Replaces what is known. Of two that learned at once the later counts; what only the other
    /// learned is learned when it comes again.
    pub(super) fn keep(&self, shapes: Shapes) {
        let mut known = self.known.lock();
        let (before, after) = (known.cost(), shapes.cost());
        let others = self.bytes.fetch_add(after, Ordering::Relaxed).saturating_sub(before);
        if after > before && others + after > self.most {
            self.bytes.fetch_sub(after, Ordering::Relaxed);
            known.keep_only_pace(shapes);
            return;
        }
        self.bytes.fetch_sub(before, Ordering::Relaxed);
        *known = shapes;
    }
}

impl Drop for StreamShapes {
    fn drop(&mut self) {
        self.bytes.fetch_sub(self.known.get_mut().cost(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{PageFilter, Stand, encode};
    use crate::model::{Fetched, RawPage};

    /// What is known after one more page of one record, with this attribute.
    fn taught(mut shapes: Shapes, name: &str) -> Shapes {
        let body = format!(
            r#"{{"Records":[{{"eventID":"1","dynamodb":{{"Keys":{{"{name}":{{"S":"x"}}}}}}}}]}}"#
        );
        let raw = RawPage { body: body.into(), date: None, reread: |_| Err("not in AWS's form") };
        let cut = PageFilter {
            from: Stand::default(),
            known: (None, 0),
            drop_before: None,
            by_moment: false,
        };
        encode(Fetched::Raw(raw), cut, 1 << 20, Some(&mut shapes)).expect("a page");
        shapes
    }

    fn stream(number: u32) -> StreamArn {
        let arn = format!(
            "arn:aws:dynamodb:eu-west-1:123456789012:table/Table{number}/stream/2026-01-01T00:00:00.000"
        );
        StreamArn::parse(&arn).expect("a stream")
    }

    #[test]
    fn shards_of_a_stream_share_what_is_known_and_its_last_one_takes_it_along() {
        let all = AllShapes::default();
        let (one, other) = (all.of(&stream(1)), all.of(&stream(1)));
        one.keep(taught(one.known(), "a"));
        let cost = one.known().cost();
        assert!(cost > 0);
        assert_eq!(other.known().cost(), cost);
        assert_eq!(all.of(&stream(2)).known().cost(), 0, "another stream knows nothing of it");
        drop(one);
        assert_eq!(all.bytes.load(Ordering::Relaxed), cost);
        drop(other);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
        assert_eq!(all.of(&stream(1)).known().cost(), 0);
        let _third = all.of(&stream(3));
        assert_eq!(all.by_stream.lock().len(), 1, "what ended is forgotten");
    }

    #[test]
    fn what_all_streams_know_is_bounded() {
        let bytes = Arc::<AtomicUsize>::default();
        let cost = taught(Shapes::default(), "a").cost();
        let new = || StreamShapes { known: Mutex::default(), bytes: bytes.clone(), most: 2 * cost };
        let streams = [new(), new(), new()];
        for shapes in &streams {
            shapes.keep(taught(shapes.known(), "a"));
        }
        assert_eq!(streams.each_ref().map(|shapes| shapes.known().cost()), [cost, cost, 0]);
        assert_eq!(bytes.load(Ordering::Relaxed), 2 * cost);
        // No more, but as much as before.
        streams[0].keep(taught(streams[0].known(), "another"));
        assert_eq!(streams[0].known().cost(), cost);
        streams[0].keep(taught(streams[0].known(), "a"));
        drop(streams);
        assert_eq!(bytes.load(Ordering::Relaxed), 0);
    }
}
