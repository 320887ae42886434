//! `docs/metrics.md`, written from what is registered: a measurement is named, explained and
//! registered in one place, and so its line in the page cannot say anything else.

use std::fmt::Write as _;

use prometheus_client::collector::Collector;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::{Metric, Registry, Unit};

/// What the names of our own begin with.
const PREFIX: &str = "shardstream";

/// One measurement, as people read of it.
#[derive(Debug)]
pub(super) struct Described {
    /// Its whole name, as a query has it.
    pub(super) name: String,
    kind: &'static str,
    /// Its labels, and the words of each.
    pub(super) labels: Labels,
    help: &'static str,
}

/// Labels, each with what its values are.
pub(super) type Labels = &'static [(&'static str, &'static str)];

/// What is said of a measurement.
#[derive(Debug)]
pub(super) struct Spec {
    name: &'static str,
    unit: Option<Unit>,
    labels: Labels,
    help: &'static str,
}

/// The measurements of one part of the page.
#[derive(Debug)]
pub(super) struct Part {
    title: &'static str,
    pub(super) described: Vec<Described>,
}

/// Registers measurements, and notes what the page says of them.
#[derive(Debug)]
pub(super) struct Register {
    /// Our own, whose names begin with [`PREFIX`].
    own: Registry,
    /// Those whose names others chose.
    common: Registry,
    parts: Vec<Part>,
}

impl Spec {
    /// A measurement without a unit and labels. `help` begins small and has no full stop.
    pub(super) fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, unit: None, labels: &[], help }
    }

    /// The same, in `unit`, which is the end of its name.
    pub(super) fn of(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// The same, with these labels.
    pub(super) fn by(self, labels: Labels) -> Self {
        Self { labels, ..self }
    }
}

impl Register {
    /// Nothing is registered yet.
    pub(super) fn new() -> Self {
        let (own, common) = (Registry::with_prefix(PREFIX), Registry::default());
        Self { own, common, parts: Vec::new() }
    }

    /// What is registered from now on stands in the page below `title`.
    pub(super) fn part(&mut self, title: &'static str) {
        self.parts.push(Part { title, described: Vec::new() });
    }

    /// Registers `metric` and returns it, to be measured with.
    pub(super) fn add<M: Metric + TypedMetric + Clone>(&mut self, spec: Spec, metric: M) -> M {
        self.put(spec, metric.clone());
        metric
    }

    /// Registers `metric`, which does not change.
    pub(super) fn put<M: Metric + TypedMetric>(&mut self, spec: Spec, metric: M) {
        self.describe(&format!("{PREFIX}_{}", spec.name), &spec, M::TYPE);
        match spec.unit {
            Some(unit) => self.own.register_with_unit(spec.name, spec.help, unit, metric),
            None => self.own.register(spec.name, spec.help, metric),
        }
    }

    /// Registers what collects `specs` by itself, whenever it is asked.
    pub(super) fn collect(&mut self, specs: &[(Spec, MetricType)], collector: impl Collector) {
        for (spec, kind) in specs {
            self.describe(spec.name, spec, *kind);
        }
        self.common.register_collector(Box::new(collector));
    }

    /// The registries, and what the page says of what is in them.
    pub(super) fn end(self) -> ([Registry; 2], Vec<Part>) {
        ([self.own, self.common], self.parts)
    }

    fn describe(&mut self, name: &str, spec: &Spec, kind: MetricType) {
        let mut name = name.to_owned();
        if let Some(unit) = &spec.unit {
            name = format!("{name}_{}", unit.as_str());
        }
        let (end, kind) = match kind {
            MetricType::Counter => ("_total", "counter"),
            MetricType::Gauge => ("", "gauge"),
            MetricType::Histogram => ("", "histogram"),
            MetricType::Info => ("_info", "info"),
            MetricType::Unknown => ("", "unknown"),
        };
        name.push_str(end);
        let part = self.parts.last_mut().expect("a part is begun first");
        part.described.push(Described { name, kind, labels: spec.labels, help: spec.help });
    }
}

/// The page.
pub(super) fn markdown(parts: &[Part]) -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         What `/metrics` on the admin port shows, as OpenMetrics text.\n\
         This page is written by `SHARDSTREAM_TEST_WRITE=1 cargo test --test it metrics_page` \
         from `src/metrics/`, and a test compares the two.\n\
         A histogram has `_bucket`, `_sum` and `_count` behind its name.\n\
         Nothing here is of an item, a shard, a session or a caller: labels have the words that \
         this page says, the names of streams, and nothing else.\n",
    );
    for Part { title, described } in parts {
        let _ = write!(page, "\n## {title}\n\n| Metric | Type | What it says |\n|---|---|---|\n");
        for Described { name, kind, labels, help } in described {
            let names: Vec<&str> = labels.iter().map(|(label, _)| *label).collect();
            let braces =
                if names.is_empty() { String::new() } else { format!("{{{}}}", names.join(", ")) };
            let _ = write!(page, "| `{name}{braces}` | {kind} | {help}");
            for (label, words) in *labels {
                let _ = write!(page, "; `{label}`: {words}");
            }
            page.push_str(" |\n");
        }
    }
    page
}
