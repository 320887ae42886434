//! The messages of `shardstream.v1` and its clients: those of the client for Rust, which keeps what
//! the proto files make. Only `grpc`, the encoder and the client commands speak them.

pub use shardstream_client::v1::*;

/// The compiled proto files with their comments, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    tonic::include_file_descriptor_set!("shardstream_descriptor");

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    /// A value `levels` deep, in maps or in lists, with a string at the bottom.
    fn nested(levels: usize, in_lists: bool) -> AttributeValue {
        let bottom = AttributeValue { value: Some(attribute_value::Value::S("bottom".into())) };
        (0..levels).fold(bottom, |inner, _| AttributeValue {
            value: Some(if in_lists {
                attribute_value::Value::L(AttributeList { values: vec![inner] })
            } else {
                attribute_value::Value::M(AttributeMap { entries: [("x".into(), inner)].into() })
            }),
        })
    }

    fn answer(levels: usize, in_lists: bool) -> StreamRecordsResponse {
        let record = ChangeRecord {
            new_image: [("deep".into(), nested(levels, in_lists))].into(),
            ..Default::default()
        };
        StreamRecordsResponse { records: vec![record], ..Default::default() }
    }

    #[test]
    fn thirty_two_levels_decode_in_a_response() {
        for in_lists in [false, true] {
            let sent = answer(32, in_lists);
            let received = StreamRecordsResponse::decode(&sent.encode_to_vec()[..]);
            assert_eq!(received.as_ref(), Ok(&sent), "in lists: {in_lists}");
        }
    }

    /// The limit is near: one level more is refused, so an envelope around records or images would
    /// break the promise.
    #[test]
    fn thirty_three_levels_of_maps_do_not_decode() {
        let sent = answer(33, false).encode_to_vec();
        assert!(StreamRecordsResponse::decode(&sent[..]).is_err());
    }

    #[test]
    fn records_come_first_in_every_answer_that_has_them() {
        let files =
            prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
        let mut found = vec![];
        for message in files.file.iter().flat_map(|file| &file.message_type) {
            for field in &message.field {
                if field.type_name() == ".shardstream.v1.ChangeRecord" {
                    assert_eq!(
                        (field.name(), field.number()),
                        ("records", 1),
                        "{}",
                        message.name()
                    );
                    found.push(message.name());
                }
            }
        }
        found.sort();
        assert_eq!(
            found,
            ["GetRecordsResponse", "SeekToResponse", "StreamRecordsResponse", "SubscribeResponse"]
        );
    }

    #[test]
    fn one_record_has_one_encoding() {
        let names = ["b", "a", "d", "c"];
        let image = |order: &mut dyn Iterator<Item = &&str>| ChangeRecord {
            new_image: order.map(|name| ((*name).to_owned(), nested(0, false))).collect(),
            ..Default::default()
        };
        assert_eq!(
            image(&mut names.iter()).encode_to_vec(),
            image(&mut names.iter().rev()).encode_to_vec()
        );
    }

    #[test]
    fn reflection_keeps_the_comments() {
        let files =
            prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("descriptors");
        let file = files.file.iter().find(|file| file.name() == "shardstream/v1/record.proto");
        let comments = file.and_then(|file| file.source_code_info.as_ref()).expect("source info");
        assert!(comments.location.iter().any(|at| at.leading_comments().contains("One change")));
    }
}
