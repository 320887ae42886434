//! Calls with a deadline that the client tells.

use std::time::Duration;

use shardstream::grpc::generated::shard_service_server::ShardService as _;
use shardstream::model::Timestamp;
use shardstream::pb;
use tonic::{Request, Status};

use super::{At, Client, Live, decode, stamp};

impl Client {
    /// SeekTo on a lease, with a deadline that the client tells.
    pub async fn seek_within(
        &self,
        lease: &str,
        time: Timestamp,
        deadline: Option<Duration>,
    ) -> Result<pb::SeekToResponse, Status> {
        let target = Some(pb::seek_to_request::Target::LeaseId(lease.into()));
        let mut request = Request::new(pb::SeekToRequest {
            target,
            time: Some(stamp(time)),
            ..Default::default()
        });
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        Ok(decode(self.server.api.seek_to(request).await?.get_ref()))
    }

    /// SeekTo without a lease, with a deadline that the client tells.
    pub async fn seek_shard_within(
        &self,
        time: Timestamp,
        deadline: Option<Duration>,
    ) -> Result<pb::SeekToResponse, Status> {
        let target = Some(pb::seek_to_request::Target::Shard(self.name()));
        let mut request = Request::new(pb::SeekToRequest {
            target,
            time: Some(stamp(time)),
            ..Default::default()
        });
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        Ok(decode(self.server.api.seek_to(request).await?.get_ref()))
    }

    /// GetRecords without a lease, with a deadline that the client tells.
    pub async fn read_within(
        &self,
        start: At,
        deadline: Option<Duration>,
        change: impl FnOnce(&mut pb::GetRecordsRequest),
    ) -> Result<pb::GetRecordsResponse, Status> {
        let source = Some(pb::get_records_request::Source::Start(self.start(start)));
        let mut request = pb::GetRecordsRequest { source, ..Default::default() };
        change(&mut request);
        let mut request = Request::new(request);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        Ok(decode(self.server.api.get_records(request).await?.get_ref()))
    }

    /// StreamRecords from a start, with a deadline that the client tells.
    pub async fn live_for(&self, start: At, deadline: Option<Duration>) -> Live {
        let source = Some(pb::stream_records_request::Source::Start(self.start(start)));
        let mut request = Request::new(pb::StreamRecordsRequest { source, ..Default::default() });
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        Live(self.server.api.stream_records(request).await.expect("a stream").into_inner())
    }
}
