//! `ServerService`: version, upstream, limits and defaults of this server, so that clients can
//! adapt to them.

use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::pb;
use crate::upstream::Endpoint;

use super::context::{Context, SharedContext};
use super::generated::server_service_server::ServerService;
use super::stream_service::PAGE_SIZE;
use super::wire;

/// The implementation of `ServerService`.
#[derive(Clone, Debug)]
pub struct ServerApi {
    context: SharedContext,
    embedded: bool,
}

impl ServerApi {
    /// A service over the shared `context`. `embedded`: the upstream runs in this process.
    pub fn new(context: Context, embedded: bool) -> Self {
        Self { context: SharedContext::new(context), embedded }
    }
}

#[tonic::async_trait]
impl ServerService for ServerApi {
    async fn get_server_info(
        &self,
        request: Request<pb::GetServerInfoRequest>,
    ) -> Result<Response<pb::GetServerInfoResponse>, Status> {
        let context = self.context.of(request.extensions());
        let traits = context.hub.upstream().traits();
        let endpoint = match traits.endpoint {
            Endpoint::Aws => pb::EndpointKind::Aws,
            Endpoint::Custom(_) if self.embedded => pb::EndpointKind::Embedded,
            Endpoint::Custom(_) => pb::EndpointKind::Custom,
        };
        let (streams, sessions) = (&context.limits.streams, &context.limits.sessions);
        let duration = |duration: Duration| Some(wire::duration(duration));
        let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        let limits = pb::ServerLimits {
            min_lease_duration: duration(sessions.lease_min),
            max_lease_duration: duration(sessions.lease_max),
            max_wait: duration(streams.wait_max),
            max_records: count(streams.batch_records),
            max_bytes: count(streams.batch_bytes_max),
            max_batch_records: count(streams.batch_records),
            min_batch_bytes: count(streams.batch_bytes_min),
            max_batch_bytes: count(streams.batch_bytes_max),
            min_heartbeat_interval: duration(streams.heartbeat_min),
            max_heartbeat_interval: duration(streams.heartbeat_max),
            max_page_size: count(PAGE_SIZE),
            max_sessions: sessions.sessions as _,
            max_streams: streams.streams as _,
            max_stream_age: streams.max_age.map(wire::duration),
            max_upstream_outage: duration(streams.max_upstream_outage),
        };
        let defaults = pb::ServerDefaults {
            lease_duration: duration(sessions.lease_default),
            max_records: count(streams.batch_records),
            max_bytes: count(streams.answer_bytes),
            max_batch_records: count(streams.batch_records),
            max_batch_bytes: count(streams.batch_bytes),
            heartbeat_interval: duration(streams.heartbeat_default),
            page_size: count(PAGE_SIZE),
        };
        Ok(Response::new(pb::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            upstream: Some(pb::UpstreamInfo {
                region: traits.region,
                endpoint_kind: endpoint.into(),
                knows_at_timestamp: traits.at_timestamp,
                knows_child_shards: traits.child_shards,
            }),
            limits: Some(limits),
            defaults: Some(defaults),
            features: vec![],
        }))
    }
}
