//! `ShardService`: the RPCs that read or describe one shard, with or without a lease.

mod get_records;
mod placed_cursor;
mod sessions;
mod stream_records;
mod superseded;
mod tree;
mod unary_read_loop;

use futures::stream::BoxStream;
use tonic::{Request, Response, Status};

use crate::pb;

use super::callers::Caller;
use super::context::{Context, SharedContext};
use super::encoded;
use super::generated::shard_service_server::ShardService;
use super::request;
use super::response_stream::handover;

/// The implementation of `ShardService`.
#[derive(Clone, Debug)]
pub struct ShardApi {
    context: SharedContext,
}

impl ShardApi {
    /// A service over the shared `context`.
    pub fn new(context: Context) -> Self {
        Self { context: SharedContext::new(context) }
    }
}

#[tonic::async_trait]
impl ShardService for ShardApi {
    type WalkTreeStream = BoxStream<'static, Result<pb::WalkTreeResponse, Status>>;
    type StreamRecordsStream = BoxStream<'static, Result<encoded::StreamRecordsResponse, Status>>;

    async fn open_shard(
        &self,
        request: Request<pb::OpenShardRequest>,
    ) -> Result<Response<pb::OpenShardResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let (caller, context) = (Caller::of(&extensions), self.context.of(&extensions));
        Ok(Response::new(context.unless_draining(sessions::open(&context, caller, request)).await?))
    }

    async fn get_shard_session(
        &self,
        request: Request<pb::GetShardSessionRequest>,
    ) -> Result<Response<pb::GetShardSessionResponse>, Status> {
        Ok(Response::new(sessions::get(
            &self.context.of(request.extensions()),
            request.into_inner(),
        )?))
    }

    async fn renew_lease(
        &self,
        request: Request<pb::RenewLeaseRequest>,
    ) -> Result<Response<pb::RenewLeaseResponse>, Status> {
        Ok(Response::new(sessions::renew(
            &self.context.of(request.extensions()),
            request.into_inner(),
        )?))
    }

    async fn close_shard(
        &self,
        request: Request<pb::CloseShardRequest>,
    ) -> Result<Response<pb::CloseShardResponse>, Status> {
        sessions::close(&self.context.of(request.extensions()), request.into_inner());
        Ok(Response::new(pb::CloseShardResponse {}))
    }

    async fn jump_to(
        &self,
        request: Request<pb::JumpToRequest>,
    ) -> Result<Response<pb::JumpToResponse>, Status> {
        let context = self.context.of(request.extensions());
        Ok(Response::new(
            context.unless_draining(sessions::jump(&context, request.into_inner())).await?,
        ))
    }

    async fn seek_to(
        &self,
        request: Request<pb::SeekToRequest>,
    ) -> Result<Response<encoded::SeekToResponse>, Status> {
        let by = request::answer_by(request.metadata(), request.extensions());
        let context = self.context.of(request.extensions());
        let request = request.into_inner();
        let answer = context.unless_draining(get_records::seek(&context, by, request)).await?;
        Ok(handover::one(answer, &context))
    }

    async fn get_records(
        &self,
        request: Request<pb::GetRecordsRequest>,
    ) -> Result<Response<encoded::GetRecordsResponse>, Status> {
        let by = request::answer_by(request.metadata(), request.extensions());
        let context = self.context.of(request.extensions());
        let answer = get_records::get(&context, by, request.into_inner()).await?;
        Ok(handover::one(answer, &context))
    }

    async fn list_children(
        &self,
        request: Request<pb::ListChildrenRequest>,
    ) -> Result<Response<pb::ListChildrenResponse>, Status> {
        let context = self.context.of(request.extensions());
        Ok(Response::new(
            context.unless_draining(tree::children(&context, request.into_inner())).await?,
        ))
    }

    async fn walk_tree(
        &self,
        request: Request<pb::WalkTreeRequest>,
    ) -> Result<Response<Self::WalkTreeStream>, Status> {
        let context = self.context.of(request.extensions());
        Ok(Response::new(
            context.unless_draining(tree::walk(&context, request.into_inner())).await?,
        ))
    }

    async fn stream_records(
        &self,
        request: Request<pb::StreamRecordsRequest>,
    ) -> Result<Response<Self::StreamRecordsStream>, Status> {
        let by = request::answer_by(request.metadata(), request.extensions());
        let context = self.context.of(request.extensions());
        let request = request.into_inner();
        Ok(context.unless_draining(stream_records::open(&context, by, request)).await?.answer())
    }
}
