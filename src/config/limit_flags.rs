//! One flag for every field of [`Limits`]; the defaults come from there, so they are written down
//! once.

use clap::Args;

use super::units::{Age, Count, Rate, Size, Span, Unit};
use crate::limits::{Limits, ReadingLimits, SessionLimits, StreamLimits, TransportLimits};

/// A struct of flags for the regular fields of one struct of limits: `field: Unit = "flag"`.
macro_rules! limit_flags {
    ($name:ident of $limits:ident under $heading:literal {
        $($(#[$help:meta])* $field:ident: $unit:ty = $flag:literal,)*
    }) => {
        #[derive(Args, Clone, Debug)]
        #[command(next_help_heading = $heading)]
        struct $name {
            $(
                $(#[$help])*
                #[arg(id = $flag, long = $flag, value_name = <$unit as Unit>::NAME,
                      default_value_t = <$unit as Unit>::of($limits::default().$field))]
                $field: $unit,
            )*
        }

        impl $name {
            fn fill(&self, limits: &mut $limits) {
                $(limits.$field = self.$field.0;)*
            }
        }
    };
}

/// All of them.
#[derive(Args, Clone, Debug)]
pub(super) struct LimitFlags {
    #[command(flatten)]
    reading: ReadingFlags,
    #[command(flatten)]
    backoff: BackoffFlags,
    #[command(flatten)]
    sessions: SessionFlags,
    #[command(flatten)]
    streams: StreamFlags,
    #[command(flatten)]
    age: AgeFlags,
    #[command(flatten)]
    connection_age: ConnectionAgeFlags,
    #[command(flatten)]
    transport: TransportFlags,
}

limit_flags! { ReadingFlags of ReadingLimits under "Reading upstream" {
    /// GetRecords and GetShardIterator calls a second on one shard, for all clients together
    shard_calls_per_second: Rate = "shard-calls-per-second",
    /// GetRecords calls in flight on one shard: 1 beside a Lambda trigger or on a global table
    shard_calls_in_flight: Count<usize> = "shard-calls-in-flight",
    /// GetRecords and GetShardIterator calls in flight over all shards, granted in turn by shard;
    /// each is a connection
    calls_in_flight: Count<usize> = "upstream-calls-in-flight",
    /// DescribeStream calls a second over all streams (AWS allows 10 in an account)
    describe_calls_per_second: Rate = "describe-calls-per-second",
    /// ListStreams calls a second over all tables (AWS allows 5 in an account)
    list_calls_per_second: Rate = "list-calls-per-second",
    /// Pause between two whole listings of a stream that is followed; longer where a listing has
    /// many pages
    discovery_interval: Span = "discovery-interval",
    /// Records asked for in one GetRecords call, 1 to 1000
    page_records: Count<u32> = "page-records",
    /// Pause between two looks at a shard that has nothing new
    idle_poll_interval: Span = "idle-poll-interval",
    /// Places read at one time on one shard, behind its window
    lanes_per_shard: Count<usize> = "max-lanes-per-shard",
    /// Places waiting for their turn on one shard; past it, reads fail with CATCH_UP_LIMIT
    waiting_per_shard: Count<usize> = "max-waiting-per-shard",
    /// The newest records of one shard kept in memory
    window_bytes_per_shard: Size<usize> = "window-bytes-per-shard",
    /// Records kept in memory in all
    window_bytes: Size<usize> = "window-bytes",
    /// Bytes held for clients in all: what is being sent to them, and requests on their way
    held_bytes: Size<usize> = "held-bytes",
    /// Bytes kept of one upstream page; the rest of a larger one is read again
    page_bytes: Size<usize> = "page-bytes",
    /// How long a shard's reader stays when nobody follows the shard any more
    reader_idle_timeout: Span = "reader-idle-timeout",
    /// Shards followed at one time
    shards: Count<usize> = "max-shards",
}}

/// The two ends of [`ReadingLimits::backoff`].
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Reading upstream")]
struct BackoffFlags {
    /// The pause after a first failed upstream call; it doubles with each further one
    #[arg(long, value_name = Span::NAME, default_value_t = Span(ReadingLimits::default().backoff.0))]
    backoff_first: Span,
    /// The longest pause after failed upstream calls
    #[arg(long, value_name = Span::NAME, default_value_t = Span(ReadingLimits::default().backoff.1))]
    backoff_longest: Span,
}

limit_flags! { SessionFlags of SessionLimits under "Sessions" {
    /// Sessions in all; past it, OpenShard fails with SESSION_LIMIT
    sessions: Count<usize> = "max-sessions",
    /// A lease's duration unless the client asks otherwise
    lease_default: Span = "lease-duration",
    /// The shortest lease granted
    lease_min: Span = "min-lease-duration",
    /// The longest lease granted
    lease_max: Span = "max-lease-duration",
}}

limit_flags! { StreamFlags of StreamLimits under "Response streams and reads" {
    /// Response streams in all; past it, calls fail with STREAM_LIMIT
    streams: Count<usize> = "max-streams",
    /// Heartbeats of a stream unless the client asks otherwise
    heartbeat_default: Span = "heartbeat-interval",
    /// The shortest heartbeat interval granted
    heartbeat_min: Span = "min-heartbeat-interval",
    /// The longest heartbeat interval granted
    heartbeat_max: Span = "max-heartbeat-interval",
    /// Records in one message, unless the client asks for fewer
    batch_records: Count<usize> = "batch-records",
    /// Bytes in one message unless the client asks otherwise
    batch_bytes: Size<usize> = "batch-bytes",
    /// The fewest bytes in a message a client may ask for
    batch_bytes_min: Size<usize> = "min-batch-bytes",
    /// The most bytes a client may ask for, in a message or an answer
    batch_bytes_max: Size<usize> = "max-batch-bytes",
    /// Bytes in a unary answer unless the client asks otherwise
    answer_bytes: Size<usize> = "answer-bytes",
    /// The longest time GetRecords waits for a record
    wait_max: Span = "max-wait",
    /// How long a GetRecords without a wait looks for a record
    get_records_timeout: Span = "get-records-timeout",
    /// How long streams bear a failing upstream before they end
    max_upstream_outage: Span = "max-upstream-outage",
}}

/// [`StreamLimits::max_age`], whose default depends on the address.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Response streams and reads")]
struct AgeFlags {
    /// Streams end with MAX_AGE after this long, give or take a tenth: a duration, off, or auto
    /// (30m, but off on loopback)
    #[arg(long, value_name = Span::NAME, default_value = "auto")]
    max_stream_age: Age,
}

/// [`TransportLimits::max_age`], whose default depends on the address.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Transport")]
struct ConnectionAgeFlags {
    /// Connections are told to go after this long, give or take a tenth; their calls go on: a
    /// duration, off, or auto (30m, but off on loopback)
    #[arg(long, value_name = Span::NAME, default_value = "auto")]
    max_connection_age: Age,
}

limit_flags! { TransportFlags of TransportLimits under "Transport" {
    /// Client connections at one time; further ones wait to be accepted. Fewer where the process
    /// may not open so many files
    connections: Count<usize> = "max-connections",
    /// Connections to the admin port at one time; past it, the oldest one makes way
    admin_connections: Count<usize> = "max-admin-connections",
    /// Calls under way at one time, response streams among them; past it, calls fail with
    /// CALL_LIMIT
    calls: Count<usize> = "max-calls",
    /// Calls at one time on one connection
    streams_per_connection: Count<u32> = "max-streams-per-connection",
    /// Bytes of one request
    request_bytes: Size<usize> = "max-request-bytes",
    /// Bytes of one Subscribe request, which may bear the tokens of thousands of shards
    subscribe_bytes: Size<usize> = "max-subscribe-bytes",
    /// Bytes of one answer; clients in most languages refuse more than 4MiB
    response_bytes: Size<usize> = "max-response-bytes",
    /// Bytes of a request's headers
    header_list_bytes: Size<u32> = "max-header-list-bytes",
    /// Stream resets a connection may cause, over its life, before it is closed
    local_error_resets: Count<usize> = "max-local-error-resets",
    /// Calls a second that clients at one address may cancel, or make the server reset; past it,
    /// their connections are read later
    cancellations_per_second: Rate = "max-cancellations-per-second",
    /// Pause between two pings on a silent connection
    keepalive_interval: Span = "keepalive-interval",
    /// How long a ping may go unanswered
    keepalive_timeout: Span = "keepalive-timeout",
    /// How long a new connection may take to begin to speak HTTP/2
    first_byte: Span = "first-byte-timeout",
    /// How long a request may take to come whole
    request: Span = "request-timeout",
    /// How long a connection may go without a call before it is told to go
    idle: Span = "idle-connection-timeout",
    /// How long the calls of a connection that is old may go on
    age_grace: Span = "connection-age-grace",
    /// How long an answer may wait for its client to take more of it, before the call is ended
    stall: Span = "stall-timeout",
    /// How long shutting down may take
    drain: Span = "drain-timeout",
}}

impl LimitFlags {
    /// The limits these flags say; `auto_age` is what `auto` means here for
    /// ages.
    pub(super) fn limits(&self, auto_age: Option<std::time::Duration>) -> Limits {
        let mut limits = Limits::default();
        self.reading.fill(&mut limits.reading);
        limits.reading.backoff = (self.backoff.backoff_first.0, self.backoff.backoff_longest.0);
        self.sessions.fill(&mut limits.sessions);
        self.streams.fill(&mut limits.streams);
        let age = |said| match said {
            Age::Auto => auto_age,
            Age::Off => None,
            Age::After(age) => Some(age),
        };
        limits.streams.max_age = age(self.age.max_stream_age);
        limits.transport.max_age = age(self.connection_age.max_connection_age);
        self.transport.fill(&mut limits.transport);
        limits
    }
}
