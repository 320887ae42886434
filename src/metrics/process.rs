//! Figures of the process, under the names that every Prometheus client library gives them: read
//! from `/proc` when they are asked for, and absent where there is no such thing. And how busy the
//! runtime is.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tokio::runtime::Handle;

use super::page::{Register, Spec};

/// Ticks of `/proc/self/stat` a second. Whatever the kernel counts in, it tells programs of 100 on
/// every architecture that we are built for.
const TICKS: f64 = 100.0;

/// One figure: its name without its unit, what it says, and what it is.
struct Figure {
    name: &'static str,
    unit: Option<Unit>,
    kind: MetricType,
    help: &'static str,
    read: fn() -> Option<f64>,
}

/// All figures.
const FIGURES: [Figure; 8] = [
    Figure {
        name: "process_cpu",
        unit: Some(Unit::Seconds),
        kind: MetricType::Counter,
        help: "time spent on CPUs",
        read: || cpu_seconds(&file("stat")?),
    },
    Figure {
        name: "process_open_fds",
        unit: None,
        kind: MetricType::Gauge,
        help: "open files and sockets",
        read: || Some(count(std::fs::read_dir("/proc/self/fd").ok()?.count())),
    },
    Figure {
        name: "process_max_fds",
        unit: None,
        kind: MetricType::Gauge,
        help: "how many files and sockets may be open",
        read: || after(&file("limits")?, "Max open files"),
    },
    Figure {
        name: "process_resident_memory",
        unit: Some(Unit::Bytes),
        kind: MetricType::Gauge,
        help: "memory in use",
        read: || Some(after(&file("status")?, "VmRSS:")? * 1_024.0),
    },
    Figure {
        name: "process_threads",
        unit: None,
        kind: MetricType::Gauge,
        help: "threads",
        read: || after(&file("status")?, "Threads:"),
    },
    Figure {
        name: "shardstream_runtime_tasks",
        unit: None,
        kind: MetricType::Gauge,
        help: "tasks of the async runtime",
        read: || Some(count(Handle::try_current().ok()?.metrics().num_alive_tasks())),
    },
    Figure {
        name: "shardstream_runtime_queued_tasks",
        unit: None,
        kind: MetricType::Gauge,
        help: "tasks that could run and wait for any thread of the runtime",
        read: || Some(count(Handle::try_current().ok()?.metrics().global_queue_depth())),
    },
    Figure {
        name: "shardstream_runtime_busy",
        unit: Some(Unit::Seconds),
        kind: MetricType::Counter,
        help: "time that all threads of the runtime spent on tasks",
        read: || Some(busy(&Handle::try_current().ok()?).as_secs_f64()),
    },
];

/// Collects the figures.
#[derive(Debug)]
struct Process;

/// Registers the figures.
pub(super) fn register(to: &mut Register) {
    let spec = |figure: Figure| {
        let spec = Spec::new(figure.name, figure.help);
        (if let Some(unit) = figure.unit { spec.of(unit) } else { spec }, figure.kind)
    };
    to.collect(&FIGURES.map(spec), Process);
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for Figure { name, unit, kind, help, read } in FIGURES {
            let Some(value) = read() else { continue };
            let described = encoder.encode_descriptor(name, help, unit.as_ref(), kind)?;
            match kind {
                MetricType::Counter => ConstCounter::new(value).encode(described)?,
                _ => ConstGauge::new(value).encode(described)?,
            }
        }
        Ok(())
    }
}

/// A small file of the kernel's about this process; reading it waits for nothing.
fn file(name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/self/{name}")).ok()
}

/// User and system time of `/proc/self/stat`, in seconds. The command's name in it may have blanks
/// and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let behind_the_name = stat.rsplit_once(") ")?.1;
    let mut fields = behind_the_name.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

/// The number after a line's title.
fn after(text: &str, title: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(title))?;
    line.split_whitespace().next()?.parse().ok()
}

fn busy(runtime: &Handle) -> Duration {
    let metrics = runtime.metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}

/// Whoever has 2^52 of anything can bear one too few.
#[expect(clippy::cast_precision_loss, reason = "nothing that is counted here is so many")]
fn count(many: usize) -> f64 {
    many as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_understood() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1000 25";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        let status = "Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t9\n";
        assert_eq!(
            (after(status, "VmRSS:"), after(status, "Threads:")),
            (Some(2_048.0), Some(9.0))
        );
        let limits = "Max open files            1024                 4096                 files \n";
        assert_eq!(after(limits, "Max open files"), Some(1_024.0));
        for strange in ["", "7 x", "7 (x) S", "Max open files unlimited"] {
            assert_eq!((cpu_seconds(strange), after(strange, "Max open files")), (None, None));
        }
    }
}
