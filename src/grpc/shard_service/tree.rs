//! `ListChildren` and `WalkTree`: the descendants of a shard.

use futures::stream::{BoxStream, StreamExt};
use tonic::Status;

use crate::hub::ShardKey;
use crate::lineage::Walk;
use crate::pb;

use crate::grpc::context::Context;
use crate::grpc::error::CallError;
use crate::grpc::request;
use crate::grpc::wire;

/// `ListChildren`: the children of a shard.
pub(super) async fn children(
    context: &Context,
    request: pb::ListChildrenRequest,
) -> Result<pb::ListChildrenResponse, CallError> {
    use pb::list_children_request::Target;
    context.admit()?;
    let key = match &request.target {
        None => return Err(no_target()),
        Some(Target::LeaseId(lease)) => {
            context.session(request::lease(lease)?)?.read(|session| session.key.clone())
        }
        Some(Target::Shard(name)) => context.shard(&request::shard_name(Some(name))?).await?.0,
    };
    let children = context.hub.listings().children(&key).await?;
    let shards = children.shards.iter().map(|shard| wire::shard(key.stream(), shard));
    Ok(pb::ListChildrenResponse { children: shards.collect(), complete: children.complete })
}

/// `WalkTree`: streams a shard and its descendants, with their depth.
pub(super) async fn walk(
    context: &Context,
    request: pb::WalkTreeRequest,
) -> Result<BoxStream<'static, Result<pb::WalkTreeResponse, Status>>, CallError> {
    use pb::walk_tree_request::Target;
    context.admit()?;
    let permit = context.stream_permit("WalkTree")?;
    let key: ShardKey = match &request.target {
        None => return Err(no_target()),
        Some(Target::LeaseId(lease)) => {
            context.session(request::lease(lease)?)?.read(|session| session.key.clone())
        }
        Some(Target::Shard(name)) => context.shard(&request::shard_name(Some(name))?).await?.0,
    };
    let listing = context.hub.listings().listing(&key.resolved()).await?;
    let walk = Walk::from(&listing.shards, key.shard());
    // Each message is made when polled; the permit lives as long as the stream.
    let answers =
        futures::stream::unfold((walk, listing, permit), move |(mut walk, listing, permit)| {
            let step = walk.next(listing.kin()).map(|(at, depth)| pb::WalkTreeResponse {
                shard: Some(wire::shard(key.stream(), &listing.shards[at])),
                depth: i32::try_from(depth).unwrap_or(i32::MAX),
            });
            std::future::ready(step.map(|answer| (Ok(answer), (walk, listing, permit))))
        });
    Ok(answers.boxed())
}

fn no_target() -> CallError {
    CallError::Malformed("SHARD_MALFORMED", "target", "a lease or a shard must be named".into())
}
