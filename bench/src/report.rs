//! The results: tables for people, one object for programs.

use comfy_table::{Cell, CellAlignment, Color, Table, presets};
use serde_json::{Value, json};

use super::contenders::Contender;
use super::figures::{Bound, FIGURES, Figure, Verdict};
use super::growth::Grown;
use super::sample::{Round, Sample};
use super::spread::Spread;
use crate::args::BenchConfig;
use shardstream::cli::Output;

/// Everything that was measured.
#[derive(Debug)]
pub struct Report<'a> {
    /// What was asked for.
    pub config: &'a BenchConfig,
    /// Who took part.
    pub contenders: &'a [Contender],
    /// Who did not.
    pub missing: Vec<Missing>,
    /// What each did.
    pub rounds: Vec<Round>,
    /// How cost grows; empty where that was not asked for.
    pub growth: Vec<Grown>,
}

/// Who did not take part.
#[derive(Debug)]
pub struct Missing {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub what: &'static str,
    /// Why.
    pub reason: String,
}

/// What is told of a contender: its name, its unit for people, and how it follows from a sample.
type Measure = (&'static str, fn(&Sample) -> Option<f64>);

/// In this order, in tables and objects.
const MEASURES: [Measure; 7] = [
    ("records_per_second", |sample| some(sample.rate())),
    ("cpu_ns_per_record", |sample| some(sample.cost())),
    ("server_cpu_ns_per_record", |sample| sample.server_cost().and_then(some)),
    ("delay_us_p50", |sample| sample.delay(0.5)),
    ("delay_us_p99", |sample| sample.delay(0.99)),
    ("cpu_ns_per_look", |sample| (sample.records == 0).then(|| sample.look_cost())),
    ("looks_per_second", |sample| {
        (sample.records == 0).then(|| sample.reads as f64 / sample.seconds)
    }),
];

impl Report<'_> {
    /// Prints it.
    pub fn print(&self, out: &mut Output) -> std::io::Result<()> {
        if out.is_json() {
            out.json(&self.json())?;
        } else {
            out.text(&self.text())?;
        }
        out.flush()
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{} build, {} x {}; medians of {} rounds (least..greatest)\n\n{}\n\n{}\n\n",
            build(),
            processors(),
            processor(),
            self.rounds.len(),
            self.reading_table(),
            self.waiting_table(),
        );
        for missing in &self.missing {
            text.push_str(&format!(
                "missing: {}, {}: {}\n",
                missing.name, missing.what, missing.reason
            ));
        }
        text.push_str(&format!("\n{}", self.figure_table()));
        if !self.growth.is_empty() {
            text.push_str(&format!("\n\n{}", self.growth_table()));
        }
        text
    }

    /// Those who read what is there.
    fn reading_table(&self) -> Table {
        let mut table = table(&[
            "contender",
            "what it is",
            "records/s",
            "its CPU, ns/record",
            "server CPU, ns/record",
        ]);
        for contender in self.contenders.iter().filter(|it| !it.is_paced() && !it.is_idle()) {
            table.add_row(self.row(
                contender,
                &["records_per_second", "cpu_ns_per_record", "server_cpu_ns_per_record"],
            ));
        }
        table
    }

    /// Those who wait.
    fn waiting_table(&self) -> Table {
        let mut table =
            table(&["contender", "what it is", "page to it, p50 us", "p99 us", "CPU, ns/poll"]);
        for contender in self.contenders.iter().filter(|it| it.is_paced() || it.is_idle()) {
            table
                .add_row(self.row(contender, &["delay_us_p50", "delay_us_p99", "cpu_ns_per_look"]));
        }
        table
    }

    fn row(&self, contender: &Contender, measures: &[&str]) -> Vec<Cell> {
        let spread = |(_, measure): &Measure| self.spread(contender.name, *measure);
        let wanted = measures
            .iter()
            .map(|wanted| MEASURES.iter().find(|(name, _)| name == wanted).and_then(spread));
        let cells = wanted.map(|spread| number(spread.map(shown).unwrap_or_default()));
        [Cell::new(contender.name), Cell::new(contender.what)].into_iter().chain(cells).collect()
    }

    fn figure_table(&self) -> Table {
        let mut table = table(&["ratio", "measured", "goal", "never worse than", ""]);
        for figure in &FIGURES {
            let ratio = figure.over(&self.rounds);
            let verdict = match ratio.map(|ratio| figure.verdict(ratio.median)) {
                None => Cell::new(format!("missing: {}", self.absent(figure))),
                Some(Verdict::Goal) => Cell::new("goal").fg(Color::Green),
                Some(Verdict::Limit) => Cell::new("limit").fg(Color::Yellow),
                Some(Verdict::Worse) => Cell::new("WORSE").fg(Color::Red),
            };
            table.add_row([
                Cell::new(figure.what),
                number(ratio.map(shown).unwrap_or_default()),
                number(bound(figure.goal)),
                number(bound(figure.limit)),
                verdict,
            ]);
        }
        table
    }

    fn growth_table(&self) -> Table {
        let headings = [
            "what grows",
            "to",
            "records/s",
            "server CPU, ns/record",
            "server CPU, ns/record delivered",
        ];
        let mut table = table(&headings);
        for grown in &self.growth {
            let of = |measure: fn(&Sample) -> Option<f64>| {
                Spread::of(grown.samples.iter().filter_map(measure))
            };
            let cells = [of(|sample| some(sample.rate())), of(Sample::server_cost), of(delivered)];
            let cells =
                cells.into_iter().map(|spread| number(spread.map(shown).unwrap_or_default()));
            table.add_row(
                [Cell::new(grown.series), number(grown.at.to_string())].into_iter().chain(cells),
            );
        }
        table
    }

    fn json(&self) -> Value {
        let contenders = self.contenders.iter().map(|contender| {
            let samples: Vec<&Sample> =
                self.rounds.iter().filter_map(|round| round.get(contender.name)).collect();
            let mut row = json!({
                "name": contender.name,
                "what": contender.what,
                "records": samples.first().map(|sample| sample.records),
                "subscribers": contender.subscribers,
            });
            for (name, measure) in MEASURES {
                if let Some(spread) = self.spread(contender.name, measure) {
                    row[name] = json_of(spread);
                    row[name]["rounds"] =
                        samples.iter().filter_map(|sample| measure(sample)).collect();
                }
            }
            row["upstream_calls"] = samples.iter().map(|sample| sample.reads).collect();
            row
        });
        let missing = self
            .missing
            .iter()
            .map(|missing| json!({ "name": missing.name, "what": missing.what, "missing": missing.reason }));
        let growth = self.growth.iter().map(|grown| {
            let of = |measure: fn(&Sample) -> Option<f64>| {
                Spread::of(grown.samples.iter().filter_map(measure)).map(json_of)
            };
            json!({
                "what": grown.series,
                "at": grown.at,
                "records_per_second": of(|sample| some(sample.rate())),
                "server_cpu_ns_per_record": of(Sample::server_cost),
                "server_cpu_ns_per_delivery": of(delivered),
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "build": build(),
            "processors": processors(),
            "processor": processor(),
            "rounds": self.rounds.len(),
            "scale": self.config.scale,
            "contenders": contenders.collect::<Vec<_>>(),
            "missing": missing.collect::<Vec<_>>(),
            "figures": FIGURES.iter().map(|figure| self.figure_json(figure)).collect::<Vec<_>>(),
            "growth": growth.collect::<Vec<_>>(),
        })
    }

    fn figure_json(&self, figure: &Figure) -> Value {
        let mut row = json!({
            "name": figure.name,
            "what": figure.what,
            "goal": figure.goal.value(),
            "limit": figure.limit.value(),
            "better": if matches!(figure.goal, Bound::AtLeast(_)) { "greater" } else { "smaller" },
        });
        match figure.over(&self.rounds) {
            Some(ratio) => {
                let verdict = figure.verdict(ratio.median);
                row["ratio"] = json_of(ratio);
                row["goal_reached"] = json!(verdict == Verdict::Goal);
                row["limit_holds"] = json!(verdict != Verdict::Worse);
            }
            None => row["missing"] = json!(self.absent(figure)),
        }
        row
    }

    fn spread(&self, name: &str, measure: fn(&Sample) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.rounds.iter().filter_map(|round| measure(round.get(name)?)))
    }

    /// Who of those that a figure needs did not take part.
    fn absent(&self, figure: &Figure) -> String {
        let absent = figure
            .needs
            .iter()
            .filter(|name| self.missing.iter().any(|missing| missing.name == **name));
        absent.copied().collect::<Vec<_>>().join(", ")
    }
}

/// `None` instead of what no number can tell: a cost for each of no records.
fn some(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then_some(value)
}

/// What each delivery of a record costs the server.
fn delivered(sample: &Sample) -> Option<f64> {
    Some(sample.server_cost()? / sample.subscribers as f64)
}

fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    table
}

fn number(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

fn shown(spread: Spread) -> String {
    format!("{} ({}..{})", digits(spread.median), digits(spread.min), digits(spread.max))
}

fn bound(bound: Bound) -> String {
    match bound {
        Bound::AtLeast(value) => format!("≥ {}", digits(value)),
        Bound::AtMost(value) => format!("≤ {}", digits(value)),
    }
}

/// Three digits that count, or all before the point.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        large if large >= 100.0 => format!("{value:.0}"),
        other => format!("{value:.*}", (2 - other.log10().floor() as i32).max(0) as usize),
    }
}

fn json_of(spread: Spread) -> Value {
    json!({ "median": spread.median, "min": spread.min, "max": spread.max })
}

fn build() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

/// Linux tells it; other systems are not asked.
fn processor() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_count() {
        let shown = [0.0, 0.000_123_4, 0.0588, 1.0, 12.34, 99.96, 123_456.7].map(digits);
        assert_eq!(shown, ["0", "0.000123", "0.0588", "1.00", "12.3", "100.0", "123457"]);
    }
}
