//! What a caller may be allowed to do, and which RPC is what.

/// What a rule allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To see that a stream exists.
    List,
    /// To see a stream's shards, and how far they are read.
    Inspect,
    /// To get a stream's records.
    Read,
}

/// What an RPC needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// This action, on the stream it names.
    Action(Action),
    /// The action on each stream that it tells of; others are left out.
    Each(Action),
    /// A lease that is the caller's own.
    Lease,
    /// Only to know who calls.
    Caller,
    /// Nothing.
    Nothing,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::List, Self::Inspect, Self::Read];

    /// As a policy names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Inspect => "inspect",
            Self::Read => "read",
        }
    }

    /// The action of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }
}

/// What the RPC of this path needs (`/shardstream.v1.ShardService/GetRecords`). `None` for an RPC
/// that has no row here: nobody may call it.
pub fn needs(path: &str) -> Option<Needs> {
    let method = match path.strip_prefix("/shardstream.v1.") {
        Some(method) => method,
        None if path.starts_with("/grpc.health.v1.Health/") => return Some(Needs::Nothing),
        None if path.starts_with("/grpc.reflection.v1") => return Some(Needs::Caller),
        None => return None,
    };
    Some(match method {
        "StreamService/ListStreams" => Needs::Each(Action::List),
        "StreamService/DescribeStream"
        | "StreamService/ListShards"
        | "StreamService/WatchShards"
        | "ShardService/ListChildren"
        | "ShardService/WalkTree" => Needs::Action(Action::Inspect),
        "ShardService/OpenShard"
        | "ShardService/JumpTo"
        | "ShardService/SeekTo"
        | "ShardService/GetRecords"
        | "ShardService/StreamRecords"
        | "StreamService/Subscribe" => Needs::Action(Action::Read),
        "ShardService/GetShardSession" | "ShardService/RenewLease" | "ShardService/CloseShard" => {
            Needs::Lease
        }
        "ServerService/GetServerInfo" => Needs::Caller,
        _ => return None,
    })
}
