//! Response messages whose records are encoded already: slices of a batch that all its readers
//! share, then a tail.
//!
//! `records` is field 1 of every response with records, so slices of encoded fields 1 followed by
//! the rest of the message are a valid message for any client.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType},
};

use crate::pb;

/// A response of type `M` with its records as encoded slices.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Encoded<M> {
    /// Runs of whole records, each record with its tag (field 1) and length before it, in order.
    pub slices: Vec<Bytes>,
    /// All other fields. Its `records` are empty.
    pub tail: M,
}

/// `GetRecordsResponse` as the server writes it.
pub type GetRecordsResponse = Encoded<pb::GetRecordsResponse>;
/// `SeekToResponse` as the server writes it.
pub type SeekToResponse = Encoded<pb::SeekToResponse>;
/// `StreamRecordsResponse` as the server writes it.
pub type StreamRecordsResponse = Encoded<pb::StreamRecordsResponse>;
/// `SubscribeResponse` as the server writes it.
pub type SubscribeResponse = Encoded<pb::SubscribeResponse>;

/// A message that can be sent in parts.
pub trait Parts {
    /// The type of the part that is not encoded yet.
    type Tail: Message;

    /// The slices that are encoded already, then the rest.
    fn parts(self) -> (Vec<Bytes>, Self::Tail);
}

impl<M: Message> Parts for Encoded<M> {
    type Tail = M;

    fn parts(self) -> (Vec<Bytes>, M) {
        (self.slices, self.tail)
    }
}

impl Parts for pb::WatchShardsResponse {
    type Tail = Self;

    fn parts(self) -> (Vec<Bytes>, Self) {
        (Vec::new(), self)
    }
}

/// A message without records: an event, or an empty response.
impl<M> From<M> for Encoded<M> {
    fn from(tail: M) -> Self {
        Self { slices: Vec::new(), tail }
    }
}

impl<M: Message + Default> Message for Encoded<M> {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        for slice in &self.slices {
            buf.put_slice(slice);
        }
        self.tail.encode_raw(buf);
    }

    /// The server only writes these. When decoded, the records are ordinary messages in `tail`.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.tail.merge_field(tag, wire_type, buf, ctx)
    }

    fn encoded_len(&self) -> usize {
        self.slices.iter().map(Bytes::len).sum::<usize>() + self.tail.encoded_len()
    }

    fn clear(&mut self) {
        self.slices.clear();
        self.tail.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> pb::ChangeRecord {
        let change = pb::Change { id: id.into(), ..Default::default() };
        let meta = pb::Meta { change: Some(change), ..Default::default() };
        pb::ChangeRecord { meta: Some(meta), ..Default::default() }
    }

    /// Records as a batch holds them: tag of field 1, length, bytes, one record after another.
    fn slice(records: &[pb::ChangeRecord]) -> Bytes {
        let only = pb::StreamRecordsResponse { records: records.to_vec(), ..Default::default() };
        only.encode_to_vec().into()
    }

    #[test]
    fn slices_and_tail_are_one_message() {
        let tail = pb::StreamRecordsResponse {
            shard_id: "shardId-1".into(),
            token: "token".into(),
            ..Default::default()
        };
        let written = StreamRecordsResponse {
            slices: vec![slice(&[record("a"), record("b")]), slice(&[record("c")])],
            tail: tail.clone(),
        };
        let bytes = written.encode_to_vec();
        assert_eq!(bytes.len(), written.encoded_len());

        let read = pb::StreamRecordsResponse::decode(&bytes[..]).expect("a valid message");
        let records = vec![record("a"), record("b"), record("c")];
        assert_eq!(read, pb::StreamRecordsResponse { records, ..tail });
    }

    #[test]
    fn an_event_is_its_tail_alone() {
        let end = pb::End { reason: pb::EndReason::Limit.into(), ..Default::default() };
        let tail = pb::StreamRecordsResponse {
            event: Some(pb::stream_records_response::Event::End(end)),
            token: "token".into(),
            ..Default::default()
        };
        let written = StreamRecordsResponse::from(tail.clone());
        assert_eq!(written.encode_to_vec(), tail.encode_to_vec());
    }

    #[test]
    fn what_is_written_reads_back_as_itself() {
        let written = GetRecordsResponse {
            slices: vec![slice(&[record("a")])],
            tail: pb::GetRecordsResponse {
                token: "token".into(),
                at_tip: true,
                ..Default::default()
            },
        };
        let read =
            GetRecordsResponse::decode(&written.encode_to_vec()[..]).expect("a valid message");
        assert_eq!(read.tail.records, [record("a")]);
        assert!(read.tail.at_tip && read.slices.is_empty());
    }
}
