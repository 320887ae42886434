//! Every limit and default in force, as one value: filled by `config`, reported by `GetServerInfo`.

use std::time::Duration;

/// All of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Reading upstream.
    pub reading: ReadingLimits,
    /// Sessions and their leases.
    pub sessions: SessionLimits,
    /// Response streams.
    pub streams: StreamLimits,
    /// The gRPC transport.
    pub transport: TransportLimits,
}

/// How upstream is read, and what is kept of it.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingLimits {
    /// GetRecords and GetShardIterator calls a second on one shard, for everybody together.
    pub shard_calls_per_second: f64,
    /// GetRecords calls in flight on one shard: 2, or 1 beside a Lambda trigger or on a global
    /// table.
    pub shard_calls_in_flight: usize,
    /// GetRecords and GetShardIterator calls in flight over all shards, each on a connection of its
    /// own; granted in turn by shard.
    pub calls_in_flight: usize,
    /// DescribeStream calls a second over all streams (AWS allows 10 in all).
    pub describe_calls_per_second: f64,
    /// ListStreams calls a second over all tables (AWS allows 5 in all).
    pub list_calls_per_second: f64,
    /// Pause between two whole listings of a stream that is followed; longer where a listing has
    /// many pages.
    pub discovery_interval: Duration,
    /// Records asked for in one call.
    pub page_records: u32,
    /// Pause between two looks at a shard that has nothing new.
    pub idle_poll_interval: Duration,
    /// Places read at one time on one shard behind its window.
    pub lanes_per_shard: usize,
    /// Places waiting for their turn on one shard; past it: `CATCH_UP_LIMIT`.
    pub waiting_per_shard: usize,
    /// Newest records of a shard kept in memory.
    pub window_bytes_per_shard: usize,
    /// Records kept in memory in all.
    pub window_bytes: usize,
    /// Bytes held for clients in all: what is being sent, and requests on their way.
    pub held_bytes: usize,
    /// Bytes kept of one page; a larger one is cut and the rest read again.
    pub page_bytes: usize,
    /// How long a shard's reader stays when nobody follows it any more.
    pub reader_idle_timeout: Duration,
    /// The first and the longest pause after a failed call; jittered.
    pub backoff: (Duration, Duration),
    /// Shards followed at one time.
    pub shards: usize,
}

/// Sessions and their leases.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLimits {
    /// Sessions in all; past it: `SESSION_LIMIT`.
    pub sessions: usize,
    /// A lease's duration unless asked otherwise.
    pub lease_default: Duration,
    /// The shortest lease granted.
    pub lease_min: Duration,
    /// The longest lease granted.
    pub lease_max: Duration,
}

/// Response streams and unary reads.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamLimits {
    /// Response streams in all; past it: `STREAM_LIMIT`.
    pub streams: usize,
    /// A stream ends with `MAX_AGE` after this long, give or take a tenth; `None`: never.
    pub max_age: Option<Duration>,
    /// Heartbeat unless asked otherwise.
    pub heartbeat_default: Duration,
    /// The shortest heartbeat granted.
    pub heartbeat_min: Duration,
    /// The longest heartbeat granted.
    pub heartbeat_max: Duration,
    /// Records in one message unless asked otherwise, and at most.
    pub batch_records: usize,
    /// Bytes in one message unless asked otherwise.
    pub batch_bytes: usize,
    /// The least a client may ask for.
    pub batch_bytes_min: usize,
    /// The most a client may ask for, in a message or an answer.
    pub batch_bytes_max: usize,
    /// Bytes in one unary answer unless asked otherwise.
    pub answer_bytes: usize,
    /// The longest `wait` of GetRecords.
    pub wait_max: Duration,
    /// How long a GetRecords without `wait` looks.
    pub get_records_timeout: Duration,
    /// How long readers keep trying before streams end with `UPSTREAM`.
    pub max_upstream_outage: Duration,
}

/// The gRPC transport.
#[derive(Clone, Debug, PartialEq)]
pub struct TransportLimits {
    /// Connections in all.
    pub connections: usize,
    /// Connections to the admin port.
    pub admin_connections: usize,
    /// Calls under way in all; past it: `CALL_LIMIT`.
    pub calls: usize,
    /// Calls at one time on one connection.
    pub streams_per_connection: u32,
    /// Bytes of one request.
    pub request_bytes: usize,
    /// Bytes of one request to the stream service, whose tokens grow with the shards they cover.
    pub subscribe_bytes: usize,
    /// Bytes of one answer; other languages' clients refuse more than 4 MiB.
    pub response_bytes: usize,
    /// Bytes of a request's headers.
    pub header_list_bytes: u32,
    /// Resets a connection may cause before it is closed.
    pub local_error_resets: usize,
    /// Calls a second that the clients at one address may cancel, or make the server reset; past it
    /// their connections are read later.
    pub cancellations_per_second: f64,
    /// Pings on a silent connection.
    pub keepalive_interval: Duration,
    /// How long a ping may go unanswered.
    pub keepalive_timeout: Duration,
    /// How long a new connection may take to begin: its first byte, HTTP/2's preface and its first
    /// settings.
    pub first_byte: Duration,
    /// How long a request may take to come whole.
    pub request: Duration,
    /// How long a connection may go without a call.
    pub idle: Duration,
    /// A connection is told to go after this long, give or take a tenth; `None`: never.
    pub max_age: Option<Duration>,
    /// How long the calls of a connection that was told to go for its age may go on.
    pub age_grace: Duration,
    /// How long an answer may stand still before its call is ended.
    pub stall: Duration,
    /// How long shutting down may take.
    pub drain: Duration,
}

/// Files that the process has open by itself: standard streams, listeners, what the runtime waits
/// with, and some to spare.
const OWN_FILES: usize = 32;

impl Limits {
    /// Makes room for all sockets in `descriptors`, the files and sockets that the process may have
    /// open: clients get what is left when the admin port and the upstream have their share, so
    /// that no crowd of clients keeps records from coming in or probes from being answered; and the
    /// upstream no more than a quarter. Says whether fewer connections than configured are taken.
    pub fn share_out(&mut self, descriptors: u64) -> bool {
        let spare = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(OWN_FILES);
        let transport = &mut self.transport;
        transport.admin_connections = transport.admin_connections.min((spare / 16).max(2));
        let upstream = self.reading.calls_in_flight.min((spare / 4).max(1));
        self.reading.calls_in_flight = upstream;
        let most = spare.saturating_sub(transport.admin_connections + upstream).max(1);
        let fewer = most < transport.connections;
        transport.connections = transport.connections.min(most);
        fewer
    }
}

impl ReadingLimits {
    /// Lanes of one shard: so many as asked for, but no more than can each keep a page inside the
    /// shard's memory.
    pub fn most_lanes(&self) -> usize {
        (self.window_bytes_per_shard / self.page_bytes.max(1))
            .saturating_sub(1)
            .clamp(2, self.lanes_per_shard.max(2))
    }
}

impl Default for ReadingLimits {
    fn default() -> Self {
        Self {
            shard_calls_per_second: 5.0,
            shard_calls_in_flight: 2,
            calls_in_flight: 128,
            describe_calls_per_second: 5.0,
            list_calls_per_second: 3.0,
            discovery_interval: Duration::from_secs(60),
            page_records: 1_000,
            idle_poll_interval: Duration::from_secs(1),
            lanes_per_shard: 16,
            waiting_per_shard: 1_024,
            window_bytes_per_shard: 32 << 20,
            window_bytes: 256 << 20,
            held_bytes: 48 << 20,
            page_bytes: 2 << 20,
            reader_idle_timeout: Duration::from_secs(30),
            backoff: (Duration::from_millis(200), Duration::from_secs(10)),
            shards: 10_000,
        }
    }
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            sessions: 100_000,
            lease_default: Duration::from_secs(60),
            lease_min: Duration::from_secs(10),
            lease_max: Duration::from_secs(3_600),
        }
    }
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            streams: 10_000,
            max_age: None,
            heartbeat_default: Duration::from_secs(10),
            heartbeat_min: Duration::from_secs(1),
            heartbeat_max: Duration::from_secs(300),
            batch_records: 1_000,
            batch_bytes: 256 << 10,
            batch_bytes_min: 16 << 10,
            batch_bytes_max: 3 << 20,
            answer_bytes: 1 << 20,
            wait_max: Duration::from_secs(60),
            get_records_timeout: Duration::from_secs(2),
            max_upstream_outage: Duration::from_secs(300),
        }
    }
}

impl Default for TransportLimits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            admin_connections: 64,
            calls: 20_000,
            streams_per_connection: 100,
            request_bytes: 64 << 10,
            subscribe_bytes: 2 << 20,
            response_bytes: 3_584 << 10,
            header_list_bytes: 16 << 10,
            local_error_resets: 1_024,
            cancellations_per_second: 500.0,
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            request: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            max_age: None,
            age_grace: Duration::from_secs(2_400),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_get_what_the_upstream_and_the_admin_port_leave() {
        for (descriptors, connections, admin) in [
            (1 << 20, 4_096, 64),
            (1_024, 802, 62),
            (256, 154, 14),
            (128, 66, 6),
            (64, 22, 2),
            (16, 1, 2),
        ] {
            let mut limits = Limits::default();
            let fewer = limits.share_out(descriptors);
            let transport = &limits.transport;
            assert_eq!(
                (transport.connections, transport.admin_connections),
                (connections, admin),
                "of {descriptors}"
            );
            assert_eq!(fewer, connections < 4_096);
            assert_eq!(
                limits.reading.calls_in_flight,
                128.min((descriptors as usize).saturating_sub(OWN_FILES) / 4).max(1)
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_shared_out_is_there(descriptors in 64u64..5_000, asked in 1usize..10_000) {
            let mut limits = Limits::default();
            limits.transport.connections = asked;
            limits.share_out(descriptors);
            let transport = &limits.transport;
            let taken = OWN_FILES + transport.connections + transport.admin_connections;
            proptest::prop_assert!(taken as u64 + (descriptors - 32) / 4 <= descriptors || descriptors > 544);
            proptest::prop_assert!(transport.connections <= asked);
        }
    }
}
