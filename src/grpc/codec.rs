//! The protobuf codec of the server, with buffers that start small and grow to what a message
//! needs.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// The initial size of a stream's buffer and its growth step, in bytes. Small, because idle streams
/// send mostly heartbeats and there may be thousands of streams.
const BUFFER_BYTES: usize = 64;

/// How many bytes of messages may gather before they are handed to the transport.
const YIELD_BYTES: usize = 32 * 1024;

/// Protobuf with our buffer sizes; encodes `T` and decodes `U`.
#[derive(Debug, Clone)]
pub(super) struct ServerCodec<T, U>(PhantomData<(T, U)>);

/// Encodes messages, reserving room for all of a message first: a buffer that grows while it is
/// written copies its bytes.
#[derive(Debug, Clone)]
pub(super) struct ServerEncoder<T>(PhantomData<T>);

impl<T, U> Default for ServerCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for ServerCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ServerEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ServerEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER_BYTES, YIELD_BYTES))
    }
}

impl<T: Message> Encoder for ServerEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode_raw(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}
