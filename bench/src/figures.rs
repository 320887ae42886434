//! The ratios by which this server is judged, each of two contenders in one round. Pure.

use super::sample::{Round, Sample};
use super::spread::Spread;

/// A ratio, and what it should be.
#[derive(Debug)]
pub struct Figure {
    /// What it is called in reports for programs.
    pub name: &'static str,
    /// What is set against what.
    pub what: &'static str,
    /// Who has to take part.
    pub needs: [&'static str; 2],
    /// What we want.
    pub goal: Bound,
    /// What it must never be worse than.
    pub limit: Bound,
    ratio: fn(&Sample, &Sample) -> Option<f64>,
}

/// Where a ratio should lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// So much or more.
    AtLeast(f64),
    /// So much or less.
    AtMost(f64),
}

/// How a figure came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The goal is reached.
    Goal,
    /// The goal is missed, the limit holds.
    Limit,
    /// Worse than the limit.
    Worse,
}

use Bound::{AtLeast, AtMost};

/// All of them.
pub const FIGURES: [Figure; 10] = [
    Figure {
        name: "rate_undecoded",
        what: "records/s to one client that does not decode / Rust SDK loop",
        needs: ["grpc", "sdk"],
        goal: AtLeast(7.0),
        limit: AtLeast(4.0),
        ratio: rates,
    },
    Figure {
        name: "rate_decoded",
        what: "the same, client decoding every record",
        needs: ["grpc-decode", "sdk"],
        goal: AtLeast(2.5),
        limit: AtLeast(1.5),
        ratio: rates,
    },
    Figure {
        name: "cpu_to_sdk",
        what: "server CPU per record with one delivery / Rust SDK loop",
        needs: ["grpc", "sdk"],
        goal: AtMost(0.14),
        limit: AtMost(0.25),
        ratio: server_to_peer,
    },
    Figure {
        name: "cpu_to_node",
        what: "the same / Node SDK loop",
        needs: ["grpc", "node"],
        goal: AtMost(1.0 / 60.0),
        limit: AtMost(1.0 / 30.0),
        ratio: server_to_peer,
    },
    Figure {
        name: "cpu_to_bloop",
        what: "the same / bloop",
        needs: ["grpc", "bloop"],
        goal: AtMost(1.0 / 170.0),
        limit: AtMost(1.0 / 80.0),
        ratio: server_to_peer,
    },
    Figure {
        name: "subscriber",
        what: "CPU of the 64th subscriber / the first",
        needs: ["grpc-64", "grpc"],
        goal: AtMost(0.20),
        limit: AtMost(0.35),
        ratio: further_to_first,
    },
    Figure {
        name: "subscriber_large_frames",
        what: "the same, clients with large frames",
        needs: ["grpc-64-large", "grpc-large"],
        goal: AtMost(0.10),
        limit: AtMost(0.20),
        ratio: further_to_first,
    },
    Figure {
        name: "page_delay",
        what: "p50 to client of a 1,000-record page / typed SDK return of it",
        needs: ["grpc-pages", "sdk-pages"],
        goal: AtMost(0.20),
        limit: AtMost(0.5),
        ratio: |ours, theirs| Some(ours.delay(0.5)? / theirs.delay(0.5)?),
    },
    Figure {
        name: "python",
        what: "records/s in Python, every field to dicts: gRPC / bloop",
        needs: ["grpc-python", "bloop"],
        goal: AtLeast(7.0),
        limit: AtLeast(4.0),
        ratio: rates,
    },
    Figure {
        name: "empty_look",
        what: "CPU per empty poll / SDK send()",
        needs: ["grpc-idle", "sdk-idle"],
        goal: AtMost(0.9),
        limit: AtMost(1.0),
        ratio: |ours, theirs| Some(ours.look_cost() / theirs.look_cost()),
    },
];

impl Figure {
    /// The ratio over the rounds, taken within each; `None` when one of the two did not take part.
    pub fn over(&self, rounds: &[Round]) -> Option<Spread> {
        let of = |round: &Round| (self.ratio)(round.get(self.needs[0])?, round.get(self.needs[1])?);
        Spread::of(rounds.iter().filter_map(of))
    }

    /// How a ratio is to be judged.
    pub fn verdict(&self, ratio: f64) -> Verdict {
        match (self.goal.holds(ratio), self.limit.holds(ratio)) {
            (true, _) => Verdict::Goal,
            (false, true) => Verdict::Limit,
            (false, false) => Verdict::Worse,
        }
    }
}

impl Bound {
    /// The number itself.
    pub fn value(self) -> f64 {
        match self {
            AtLeast(value) | AtMost(value) => value,
        }
    }

    fn holds(self, ratio: f64) -> bool {
        match self {
            AtLeast(least) => ratio >= least,
            AtMost(most) => ratio <= most,
        }
    }
}

fn rates(ours: &Sample, theirs: &Sample) -> Option<f64> {
    Some(ours.rate() / theirs.rate())
}

fn server_to_peer(ours: &Sample, theirs: &Sample) -> Option<f64> {
    Some(ours.server_cost()? / theirs.cost())
}

/// What each subscriber after the first adds, on average, to what the first costs.
fn further_to_first(many: &Sample, one: &Sample) -> Option<f64> {
    let (all, first) = (many.server_cost()?, one.server_cost()?);
    Some((all - first) / (many.subscribers - 1) as f64 / first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(records: usize, subscribers: usize, cpu: f64, server_cpu: Option<f64>) -> Sample {
        Sample {
            records,
            subscribers,
            seconds: 2.0,
            cpu,
            server_cpu,
            reads: 10,
            delays: vec![1.0, 2.0, 6.0],
        }
    }

    fn figure(name: &str) -> &'static Figure {
        FIGURES.iter().find(|figure| figure.name == name).expect("a figure")
    }

    fn of(name: &str, ours: Sample, theirs: Sample) -> f64 {
        let figure = figure(name);
        let round: Round = figure.needs.into_iter().zip([ours, theirs]).collect();
        figure.over(&[round]).expect("both took part").median
    }

    #[test]
    fn each_ratio_is_what_it_says() {
        let sdk = || sample(1_000, 1, 0.5, None);
        assert_eq!(of("rate_undecoded", sample(7_000, 1, 0.1, Some(0.1)), sdk()), 7.0);
        assert_eq!(of("cpu_to_sdk", sample(2_000, 1, 9.0, Some(0.1)), sdk()), 0.1);
        assert_eq!(of("page_delay", sample(1, 1, 0.1, Some(0.1)), sdk()), 1.0);
        assert_eq!(of("empty_look", sample(0, 1, 9.0, Some(0.25)), sdk()), 0.5);
        // The first costs 1 ms a record, 64 together 7.3 ms: each of the 63 further ones 0.1 ms.
        let (many, one) = (sample(64_000, 64, 9.0, Some(7.3)), sample(1_000, 1, 9.0, Some(1.0)));
        assert!((of("subscriber", many, one) - 0.1).abs() < 1e-9);
    }

    #[test]
    fn without_one_of_the_two_there_is_no_ratio() {
        let round: Round = [("grpc", sample(1, 1, 0.1, Some(0.1)))].into();
        assert_eq!(figure("rate_undecoded").over(&[round]), None);
    }

    #[test]
    fn a_ratio_is_good_on_its_side_of_the_bound() {
        let verdicts = |name, ratios: [f64; 3]| ratios.map(|ratio| figure(name).verdict(ratio));
        let all = [Verdict::Goal, Verdict::Limit, Verdict::Worse];
        assert_eq!(verdicts("rate_undecoded", [7.0, 4.0, 3.9]), all);
        assert_eq!(verdicts("cpu_to_sdk", [0.14, 0.25, 0.26]), all);
    }
}
