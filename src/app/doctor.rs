//! `shardstream doctor`: tries what `serve` with the same flags needs, changes nothing, and says of
//! each thing whether it is well and what to mend.

mod aws;
mod own;

use serde_json::json;

use crate::cli::Output;
use crate::config::{Color, DoctorConfig, OutputFormat};
use crate::exit::Exit;

/// What was found about one thing.
#[derive(Debug)]
struct Finding {
    /// The thing.
    check: &'static str,
    verdict: Verdict,
    /// What was found, in one line.
    what: String,
    /// What to do about it.
    mend: Option<String>,
}

/// How well it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Well.
    Ok,
    /// The server starts, but may not do what is wanted; or this could not be tried.
    Warn,
    /// The server does not start, or serves no records.
    Fail,
}

/// Tries everything, prints what it finds, and fails if anything does.
pub(super) async fn run(config: &DoctorConfig) -> anyhow::Result<Exit> {
    let mut out = Output::standard(config.output, Color::Auto);
    let mut findings = own::look(&config.serve).await;
    for finding in &findings {
        print(&mut out, config.output, finding)?;
    }
    out.flush()?;
    // These wait for others: what is known by now is printed.
    let first = findings.len();
    findings.extend(aws::look(&config.serve.upstream).await);
    for finding in &findings[first..] {
        print(&mut out, config.output, finding)?;
    }
    out.flush()?;
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Fail);
    Ok(if failed { Exit::Failure } else { Exit::Ok })
}

fn print(out: &mut Output, format: OutputFormat, finding: &Finding) -> std::io::Result<()> {
    let Finding { check, verdict, what, mend } = finding;
    // Messages of AWS's may have several lines.
    let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (what, mend) = (line(what), mend.as_deref().map(line));
    match format {
        OutputFormat::Json => out.json(&json!({
            "check": check,
            "verdict": verdict.word(),
            "what": what,
            "mend": mend,
        })),
        OutputFormat::Table => {
            let mend = mend.map_or_else(String::new, |mend| format!("; mend: {mend}"));
            out.text(&format!("{:<5} {check:<17} {what}{mend}", verdict.word()))
        }
    }
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

impl Finding {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, what: what.into(), mend: None }
    }

    fn warn(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Warn, what: what.into(), mend: Some(mend.into()) }
    }

    fn fail(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Fail, what: what.into(), mend: Some(mend.into()) }
    }
}
