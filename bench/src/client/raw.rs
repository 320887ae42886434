//! Messages as they come, not decoded: only the tags at their top are walked over, to count the
//! records.

use std::marker::PhantomData;

use prost::DecodeError;
use prost::bytes::{Buf, Bytes};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// The field that holds records, in every answer that has them.
const RECORDS: u32 = 1;

/// The field that says that a subscription begins a shard.
const SHARD_OPEN: u32 = 5;

/// One answer of a response stream.
#[derive(Debug)]
pub struct RawMessage(Bytes);

impl RawMessage {
    /// How many records it holds.
    pub fn records(&self) -> Result<usize, DecodeError> {
        self.count(RECORDS)
    }

    /// Whether it tells that a subscription begins a shard.
    pub fn begins_a_shard(&self) -> Result<bool, DecodeError> {
        Ok(self.count(SHARD_OPEN)? > 0)
    }

    fn count(&self, wanted: u32) -> Result<usize, DecodeError> {
        let (mut rest, mut count) = (&self.0[..], 0);
        while rest.has_remaining() {
            let (field, wire) = decode_key(&mut rest)?;
            count += usize::from(field == wanted);
            if wire == WireType::LengthDelimited {
                let length = decode_varint(&mut rest)? as usize;
                rest = rest.get(length..).unwrap_or_default();
            } else {
                skip_field(wire, field, &mut rest, DecodeContext::default())?;
            }
        }
        Ok(count)
    }
}

/// Requests of type `T` by prost, answers as they are.
#[derive(Debug)]
pub struct RawCodec<T>(PhantomData<T>);

impl<T> Default for RawCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: prost::Message + 'static> Codec for RawCodec<T> {
    type Encode = T;
    type Decode = RawMessage;
    type Encoder = ProstEncoder<T>;
    type Decoder = RawDecoder;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, ()>::raw_encoder(Default::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        RawDecoder
    }
}

/// Takes a message's bytes without copying them.
#[derive(Debug)]
pub struct RawDecoder;

impl Decoder for RawDecoder {
    type Item = RawMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<RawMessage>, Status> {
        Ok(Some(RawMessage(buffer.copy_to_bytes(buffer.remaining()))))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use shardstream::pb;

    #[test]
    fn records_are_counted_without_decoding_them() {
        let records = vec![pb::ChangeRecord::default(); 3];
        let answer =
            pb::StreamRecordsResponse { records, token: "text".into(), ..Default::default() };
        let raw = RawMessage(answer.encode_to_vec().into());
        assert_eq!((raw.records(), raw.begins_a_shard()), (Ok(3), Ok(false)));
        let open = pb::subscribe_response::Event::ShardOpen(pb::ShardOpen::default());
        let answer = pb::SubscribeResponse { event: Some(open), ..Default::default() };
        assert_eq!(RawMessage(answer.encode_to_vec().into()).begins_a_shard(), Ok(true));
    }
}
