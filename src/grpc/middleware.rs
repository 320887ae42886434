//! What every call passes on its way to its handler: what is refused there, and what is counted.

pub mod call_limits;
pub mod call_metrics;
pub mod methods;
pub mod peer_shares;
