//! Listens to one call of the SDK: what it sent, and by what.

use std::sync::Arc;

use aws_sdk_dynamodbstreams::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodbstreams::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use parking_lot::Mutex;

/// What there is to learn from one call.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Lesson(Arc<Mutex<Option<Heard>>>);

/// What the SDK sent, and by what.
#[derive(Debug)]
pub(super) struct Heard {
    /// The request, signed.
    pub(super) request: HttpRequest,
    /// The parts by which it was made, without those that listen.
    pub(super) components: RuntimeComponents,
    /// Timeouts and retries, which lookups of credentials go by.
    pub(super) timeouts: TimeoutConfig,
    pub(super) retries: RetryConfig,
}

impl Lesson {
    /// What was heard.
    pub(super) fn take(&self) -> Option<Heard> {
        self.0.lock().take()
    }
}

impl Heard {
    /// The configuration by which credentials are looked up.
    pub(super) fn config(&self) -> ConfigBag {
        let mut layer = Layer::new("direct");
        layer.store_put(self.timeouts.clone());
        layer.store_put(self.retries.clone());
        ConfigBag::of_layers([layer])
    }
}

impl Intercept for Lesson {
    fn name(&self) -> &'static str {
        "Lesson"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Those of this call are among them, and would hold what is heard here for ever.
        let components = components.to_builder().with_interceptors(std::iter::empty()).build();
        let (request, timeouts) = (context.request().try_clone(), config.load::<TimeoutConfig>());
        if let (Some(request), Ok(components), Some(timeouts), Some(retries)) =
            (request, components, timeouts, config.load::<RetryConfig>())
        {
            let (timeouts, retries) = (timeouts.clone(), retries.clone());
            *self.0.lock() = Some(Heard { request, components, timeouts, retries });
        }
        Ok(())
    }
}
