//! placeholder until the shell branch lands
#[derive(Clone, Debug, Default)]
pub struct Metrics;
pub struct G;
pub struct Lanes;
impl Lanes { pub fn set(&mut self, _n: usize) {} }
impl Metrics {
    pub fn new() -> Self { Self }
    pub fn window_bytes(&self, _d: i64) {}
    pub fn limit_rejection(&self, _l: &'static str) {}
    pub fn shard_reader(&self) -> G { G }
    pub fn lanes(&self) -> Lanes { Lanes }
    pub fn upstream_call(&self, _o: &'static str, _r: &'static str) {}
    pub fn session(&self) -> G { G }
    pub fn stream(&self, _rpc: &'static str) -> G { G }
    pub fn gap(&self, _c: &'static str, _certain: bool) {}
    pub fn unreadable(&self) {}
    pub fn delivered(&self, _s: &crate::model::StreamArn, _r: u64, _b: u64) {}
    pub fn lag(&self, _s: &crate::model::StreamArn, _d: std::time::Duration) {}
}
