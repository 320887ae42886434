//! The known RPC methods by path; paths that clients invent all count as `_OTHER`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use prost::Message;

use crate::pb;

use super::super::callers::Streaming;

/// The name of all methods that are not of our own services.
pub(crate) const OTHER: &str = "_OTHER";

/// What the middleware needs to know of an RPC method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    /// E.g. `shardstream.v1.ShardService/GetRecords`; `_OTHER` if it is not of our own services.
    pub name: &'static str,
    /// What its response stream counts as; `None` for a unary response.
    pub streaming: Option<Streaming>,
    /// Whether its unary response carries records.
    pub reads: bool,
    /// Whether it is client-streaming.
    pub asks_on: bool,
}

/// The method that a request path names.
pub(crate) fn method(path: &str) -> Method {
    static METHODS: OnceLock<BTreeMap<String, Method>> = OnceLock::new();
    let known = METHODS.get_or_init(ours).get(path);
    let other = |streaming, asks_on| Method { name: OTHER, streaming, reads: false, asks_on };
    match known {
        Some(method) => *method,
        None if path == "/grpc.health.v1.Health/Watch" => other(Some(Streaming::Health), false),
        None if path.starts_with("/grpc.reflection.v1") => other(Some(Streaming::Reflection), true),
        None => other(None, false),
    }
}

fn ours() -> BTreeMap<String, Method> {
    let files = prost_types::FileDescriptorSet::decode(pb::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let methods = files.file.into_iter().flat_map(|file| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let of = format!("{package}.{}", service.name());
            let named = move |method: prost_types::MethodDescriptorProto| {
                let name = format!("{of}/{}", method.name());
                let reads = matches!(method.name(), "GetRecords" | "SeekTo");
                let streaming = method.server_streaming().then_some(Streaming::Ours);
                let asks_on = method.client_streaming();
                (format!("/{name}"), Method { name: name.leak(), streaming, reads, asks_on })
            };
            service.method.into_iter().map(named)
        })
    });
    methods.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_is_known_by_its_shape() {
        let of = |path: &str| method(path);
        let records = of("/shardstream.v1.ShardService/GetRecords");
        assert!(records.reads && records.streaming.is_none() && !records.asks_on);
        assert_eq!(records.name, "shardstream.v1.ShardService/GetRecords");
        for path in
            ["ShardService/StreamRecords", "ShardService/WalkTree", "StreamService/Subscribe"]
        {
            assert_eq!(
                of(&format!("/shardstream.v1.{path}")).streaming,
                Some(Streaming::Ours),
                "{path}"
            );
        }
        let reflection = of("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
        assert_eq!((reflection.streaming, reflection.asks_on), (Some(Streaming::Reflection), true));
        assert_eq!(of("/grpc.health.v1.Health/Watch").streaming, Some(Streaming::Health));
        assert_eq!(of("/grpc.health.v1.Health/Check").streaming, None);
        assert_eq!(of("/made.Up/ByAClient").name, "_OTHER");
    }
}
