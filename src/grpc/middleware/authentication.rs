//! Says who calls, before anything of the call is looked at, and refuses callers who are nobody.
//! What they may do is judged where streams get their names: [`Permission`].

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::FutureExt as _;
use futures::future::{BoxFuture, Either, ready};
use http::{Request, Response, header};
use tonic::body::Body;
use tower::{Layer, Service};

use crate::access::ConnectionProof;
use crate::access::current::CurrentAccess;
use crate::access::principal::Principal;
use crate::access::quota::Quota;
use crate::access::rpc_actions::{Needs, needs};
use crate::audit::Audit;
use crate::clock::Clock;
use crate::hub::NotAllowed;
use crate::metrics::Metrics;
use crate::traces::context::TraceContext;

use super::super::call_audit::CallAudit;
use super::super::callers::Caller;
use super::super::error::CallError;
use super::super::permission::Permission;
use super::super::standing::Standing;
use super::known_methods;

/// The unary method that opens something.
const OPENS: &str = "/shardstream.v1.ShardService/OpenShard";

/// Wraps services in [`Authentication`].
#[derive(Clone, Debug)]
pub struct AuthenticationLayer {
    access: CurrentAccess,
    clock: Clock,
    audit: Audit,
    metrics: Metrics,
}

/// A service whose requests bear a [`Permission`], unless everybody may do everything.
#[derive(Clone, Debug)]
pub struct Authentication<S> {
    inner: S,
    layer: AuthenticationLayer,
}

impl AuthenticationLayer {
    /// Callers are asked for what `access` asks, and `audit` is told of it.
    pub fn new(access: CurrentAccess, clock: Clock, audit: Audit, metrics: Metrics) -> Self {
        Self { access, clock, audit, metrics }
    }
}

impl<S> Layer<S> for AuthenticationLayer {
    type Service = Authentication<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Authentication { inner, layer: self.clone() }
    }
}

/// What is known of a call that is let in.
struct LetIn {
    audit: Arc<CallAudit>,
    /// Who makes it and what it may reach, and the quota of its caller if that is somebody; `None`
    /// if everybody may do everything.
    permission: Option<(Permission, Option<Quota>)>,
}

impl AuthenticationLayer {
    /// Who makes a request, and what it may do; `None`: it is open to all.
    fn let_in<Q>(&self, request: &Request<Q>) -> Result<Option<LetIn>, CallError> {
        let path = request.uri().path();
        let method = known_methods::method(path);
        let needs = match needs(path) {
            Some(Needs::Nothing) => return Ok(None),
            Some(needs) => needs,
            // It will be told that there is no such method, like anybody who is known.
            None if method.name == known_methods::OTHER => Needs::Caller,
            None => return Err(NotAllowed::of(&Principal::unproved(true), "call", path).into()),
        };
        let caller = Caller::of(request.extensions());
        let (audit, metrics) = (self.audit.clone(), self.metrics.clone());
        let audit = CallAudit::new(audit, metrics, caller.map(Caller::peer), method.name)
            .opening(method.streaming.is_some() || path == OPENS)
            .traced(TraceContext::of(request.headers()));
        if !self.audit.admits() {
            audit.untold();
            return Err(CallError::Untold);
        }
        let (access, now) = (self.access.load(), self.clock.now().wall);
        let connection = caller.map_or(ConnectionProof::Nothing, Caller::proof);
        let connected = || Some(access.identify(&[], connection, now).ok()?.principal);
        if access.is_open() {
            let audit = Arc::new(audit.by(connected(), None));
            return Ok(Some(LetIn { audit, permission: None }));
        }
        let shown: Vec<&[u8]> =
            request.headers().get_all(header::AUTHORIZATION).iter().map(|v| v.as_bytes()).collect();
        let identity = access.identify(&shown, connection, now).map_err(|error| {
            audit.clone().by(connected(), None).unauthenticated(error);
            CallError::Credentials(error, access.accepts())
        })?;
        let certified = matches!(connection, ConnectionProof::Certificate(_));
        let two = certified && !shown.is_empty() && self.audit.is_on();
        let other = if two { connected() } else { None };
        let audit = Arc::new(audit.by(Some(identity.principal.clone()), other));
        let who = Some(&identity.principal).filter(|who| who.is_proved());
        let quota = who.map(|who| access.policy().quota(who));
        let (current, clock) = (self.access.clone(), self.clock.clone());
        let permission = Permission::new(identity, needs, current, access, clock);
        let permission = Some((permission.told_to(audit.clone()), quota));
        Ok(Some(LetIn { audit, permission }))
    }
}

impl<S, Q> Service<Request<Q>> for Authentication<S>
where
    S: Service<Request<Q>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        match self.layer.let_in(&request) {
            Ok(let_in) => {
                // A token must not come into any log by way of the request.
                request.headers_mut().remove(header::AUTHORIZATION);
                if let Some(LetIn { audit, permission }) = let_in {
                    request.extensions_mut().insert(audit);
                    if let Some((permission, quota)) = permission {
                        let caller = request.extensions_mut().get_mut::<Caller>();
                        if let Some((caller, quota)) = caller.zip(quota)
                            && let Err(over) = caller.known_as(permission.principal(), quota)
                        {
                            return Either::Right(ready(Ok(over.status().into_http())).boxed());
                        }
                        request.extensions_mut().insert(Arc::new(permission));
                    }
                }
                let standing = Standing::of(request.extensions());
                let call = self.inner.call(request);
                match standing.is_lasting() {
                    true => Either::Left(call),
                    false => Either::Right(while_let_in(call, standing).boxed()),
                }
            }
            Err(refusal) => Either::Right(ready(Ok(refusal.status().into_http())).boxed()),
        }
    }
}

/// The call's answer, unless its caller would not be let in any more before there is one: a call
/// may wait for minutes. Response streams look after themselves from then on.
async fn while_let_in(
    call: impl Future<Output = Result<Response<Body>, Infallible>>,
    standing: Standing,
) -> Result<Response<Body>, Infallible> {
    // Both are cancel-safe: a standing that is judged anew, and a call, which its client may
    // cancel at any time, too.
    tokio::select! {
        biased;
        answer = call => answer,
        refusal = standing.lost() => Ok(refusal.status().into_http()),
    }
}
