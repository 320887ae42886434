//! The SDK's client, replaced when AWS refuses its credentials or it had none: the SDK reads a
//! credentials file only once, but the file is rewritten whenever the credentials are renewed.

use std::error::Error;
use std::sync::Arc;

use aws_sdk_dynamodbstreams::Client;
use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use parking_lot::Mutex;

use super::classify;
use super::connect;
use super::connect::AwsOptions;
use super::direct::DirectPath;
use crate::upstream::{Operation, UpstreamError};

/// The client that calls go to. A cheap clone; all clones are one.
#[derive(Clone, Debug)]
pub(super) struct RenewingClient {
    options: Arc<AwsOptions>,
    /// Locked only to read or replace it, never across an await.
    current: Arc<Mutex<Current>>,
}

#[derive(Clone, Debug)]
struct Current {
    ways: Ways,
    /// How often the client was replaced.
    exchanges: u64,
}

/// The ways to make a call. Cheap clones.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    /// By the SDK.
    pub(super) client: Client,
    /// GetRecords without it.
    pub(super) direct: DirectPath,
}

impl RenewingClient {
    /// Calls go to `client`, which was made from `options`.
    pub(super) fn new(client: Client, options: AwsOptions) -> Self {
        Self {
            current: Arc::new(Mutex::new(Current { ways: ways(client, &options), exchanges: 0 })),
            options: Arc::new(options),
        }
    }

    /// One call; when AWS refuses the credentials, it is repeated once with the credentials found
    /// by then.
    pub(super) async fn call<T, E, F>(
        &self,
        operation: Operation,
        ask: impl Fn(Ways) -> F,
    ) -> Result<T, UpstreamError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let Current { ways, exchanges } = self.current();
        let failed = match ask(ways).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if self.options.static_credentials || !classify::is_outdated(&failed) {
            return Err(classify::error(operation, &failed));
        }
        let ways = self.renewed(exchanges).await;
        ask(ways).await.map_err(|error| classify::error(operation, &error))
    }

    fn current(&self) -> Current {
        self.current.lock().clone()
    }

    /// A newer client than the one after `exchanges` replacements. Two concurrent calls may both
    /// make one; either will do.
    async fn renewed(&self, exchanges: u64) -> Ways {
        let current = self.current();
        if current.exchanges > exchanges {
            return current.ways;
        }
        tracing::info!("no credentials, or none that are taken; looking for others");
        match connect::with_new_credentials(&current.ways.client, &self.options).await {
            Ok(client) => {
                let ways = ways(client, &self.options);
                let mut current = self.current.lock();
                *current = Current { ways: ways.clone(), exchanges: current.exchanges + 1 };
                ways
            }
            Err(error) => {
                tracing::warn!(%error, "there is no newer client");
                current.ways
            }
        }
    }
}

fn ways(client: Client, options: &AwsOptions) -> Ways {
    Ways { client, direct: DirectPath::new(!options.sdk_only) }
}
