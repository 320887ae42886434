//! Who takes part: clients of the server, and those who read the same upstream without it.

use super::peers::Peer;
use super::plan::{Kind, Manner};

/// One who reads.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// What it is called on the command line and in reports.
    pub name: &'static str,
    /// What it is, in words.
    pub what: &'static str,
    /// What the records look like.
    pub kind: Kind,
    /// How it reads.
    pub manner: Manner,
    /// Pages of 1,000 records that make about a second of reading: on the fast path, for clients of
    /// the server.
    pub pages: usize,
    /// So many read the same at one time, each over a connection of its own.
    pub subscribers: usize,
    /// Large HTTP/2 frames and windows.
    pub large_frames: bool,
    /// The program, where it is not this one.
    pub peer: Option<Peer>,
}

/// All of them.
pub const CONTENDERS: [Contender; 22] = [
    Contender::new("grpc", "one client, not decoding", Manner::Raw, 384),
    Contender::new("grpc-large", "the same, large frames", Manner::Raw, 384).large(),
    Contender::new("grpc-decode", "one client, decoding every record", Manner::Decoded, 192),
    Contender::new("grpc-64", "64 clients, not decoding", Manner::Raw, 64).many(),
    Contender::new("grpc-64-large", "the same, large frames", Manner::Raw, 64).many().large(),
    Contender::new("sdk", "loop of the AWS SDK for Rust", Manner::Sdk, 128),
    Contender::new("node", "loop of the AWS SDK v3 for Node", Manner::Foreign, 16).peer(Peer::Node),
    Contender::new("boto3", "loop of boto3", Manner::Foreign, 8).peer(Peer::Boto3),
    Contender::new("bloop", "bloop, Engine.stream", Manner::Foreign, 5).peer(Peer::Bloop),
    Contender::new("grpc-python", "client in Python, every field to dicts", Manner::Foreign, 32)
        .peer(Peer::Grpc),
    Contender::new("grpc-pages", "one client, as pages come", Manner::Pages, 0),
    Contender::new("sdk-pages", "Rust SDK loop, as pages come", Manner::SdkPages, 0),
    Contender::new("grpc-idle", "a subscription to idle shards", Manner::Follow, 0),
    Contender::new("sdk-idle", "Rust SDK loops on idle shards", Manner::SdkFollow, 0),
    Contender::new("grpc-keys", "one client, not decoding; keys only", Manner::Raw, 768).keys(),
    Contender::new("grpc-decode-keys", "one client, decoding; keys only", Manner::Decoded, 384)
        .keys(),
    Contender::new("grpc-64-keys", "64 clients, not decoding; keys only", Manner::Raw, 96)
        .many()
        .keys(),
    Contender::new("sdk-keys", "loop of the Rust SDK; keys only", Manner::Sdk, 384).keys(),
    Contender::new("node-keys", "loop of the Node SDK; keys only", Manner::Foreign, 64)
        .peer(Peer::Node)
        .keys(),
    Contender::new("boto3-keys", "loop of boto3; keys only", Manner::Foreign, 32)
        .peer(Peer::Boto3)
        .keys(),
    Contender::new("bloop-keys", "bloop; keys only", Manner::Foreign, 20).peer(Peer::Bloop).keys(),
    Contender::new("grpc-python-keys", "client in Python; keys only", Manner::Foreign, 96)
        .peer(Peer::Grpc)
        .keys(),
];

impl Contender {
    const fn new(name: &'static str, what: &'static str, manner: Manner, pages: usize) -> Self {
        Self {
            name,
            what,
            kind: Kind::Full,
            manner,
            pages,
            subscribers: 1,
            large_frames: false,
            peer: None,
        }
    }

    const fn keys(self) -> Self {
        Self { kind: Kind::Keys, ..self }
    }

    const fn large(self) -> Self {
        Self { large_frames: true, ..self }
    }

    const fn many(self) -> Self {
        Self { subscribers: 64, ..self }
    }

    const fn peer(self, peer: Peer) -> Self {
        Self { peer: Some(peer), ..self }
    }

    /// Whether it reads from the server, not from the upstream.
    pub fn is_client(&self) -> bool {
        match self.manner {
            Manner::Raw | Manner::Decoded | Manner::Whole | Manner::Pages | Manner::Follow => true,
            Manner::Sdk | Manner::SdkPages | Manner::SdkFollow => false,
            Manner::Foreign => self.peer == Some(Peer::Grpc),
        }
    }

    /// Whether it waits on shards that stay empty.
    pub fn is_idle(&self) -> bool {
        matches!(self.manner, Manner::Follow | Manner::SdkFollow)
    }

    /// Whether it waits for pages to come.
    pub fn is_paced(&self) -> bool {
        matches!(self.manner, Manner::Pages | Manner::SdkPages)
    }
}
