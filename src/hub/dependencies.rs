//! What reading and discovery are given: the upstream, the clocks, and what all of them share.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::held_bytes::HeldBytes;
use crate::limits::ReadingLimits;
use crate::metrics::Metrics;
use crate::upstream::Upstream;

use super::call_permits::CallPermits;
use super::clocks::Clocks;
use super::page_budget::PageBudget;

/// What every reader and every discovery of one hub shares.
pub(super) struct Dependencies {
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) clock: Clock,
    pub(super) limits: ReadingLimits,
    pub(super) metrics: Metrics,
    /// The bytes of all windows.
    pub(super) memory: PageBudget,
    /// The bytes held for clients.
    pub(super) held: HeldBytes,
    /// The calls in flight of all shards.
    pub(super) turns: CallPermits,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) seed: u64,
    /// The steps in which the upstream stamps records.
    pub(super) grain: Duration,
    /// How far the upstream's clock is from ours.
    pub(super) clocks: Arc<Clocks>,
}

/// The runtime parts a hub needs.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The clock.
    pub clock: Clock,
    /// The metrics it records to.
    pub metrics: Metrics,
    /// Tracks the tasks it spawns.
    pub tasks: TaskTracker,
    /// Cancelled when those tasks are to stop.
    pub stop: CancellationToken,
    /// Seed of all its randomness.
    pub seed: u64,
}

impl Dependencies {
    /// What a hub over `upstream` needs.
    pub(super) fn new(
        upstream: Arc<dyn Upstream>,
        limits: ReadingLimits,
        runtime: Runtime,
    ) -> Self {
        let Runtime { clock, metrics, tasks, stop, seed } = runtime;
        Self {
            memory: PageBudget::new(limits.window_bytes, metrics.clone()),
            held: HeldBytes::new(limits.held_bytes, metrics.clone()),
            turns: CallPermits::new(limits.calls_in_flight),
            grain: upstream.traits().grain,
            clocks: Arc::default(),
            upstream,
            clock,
            limits,
            metrics,
            stop,
            tasks,
            seed,
        }
    }
}
