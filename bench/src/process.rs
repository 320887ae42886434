//! The processes of a measurement: started, spoken with by lines, and ended with it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::clock;
use super::plan::{Part, World};

/// How long a process may be silent when something is asked of it.
const PATIENCE: Duration = Duration::from_secs(300);

/// What every process sees of AWS: credentials that mean nothing, and no settings of this machine.
const ENVIRONMENT: [(&str, &str); 8] = [
    ("AWS_ACCESS_KEY_ID", "nobody"),
    ("AWS_SECRET_ACCESS_KEY", "nothing"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
    ("AWS_CONFIG_FILE", "/nowhere"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("NO_PROXY", "*"),
];

/// A process that runs; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

/// The upstream's process.
#[derive(Debug)]
pub struct MockProcess {
    process: Process,
    /// Where it listens.
    pub url: String,
}

/// The server's process.
#[derive(Debug)]
pub struct ServerProcess {
    process: Process,
    /// Where it listens.
    pub url: String,
}

impl Process {
    /// Starts it in an environment that names no AWS but ours. `name` is for whoever reads that it
    /// failed.
    pub fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        command.envs(ENVIRONMENT).env("no_proxy", "*").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name} does not start"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (input, output) = input.zip(output).context("a process without pipes")?;
        Ok(Self { name: name.to_owned(), child, input, lines: BufReader::new(output).lines() })
    }

    /// Starts a part of this program.
    pub fn part(name: &str, program: &Path, part: &Part) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.arg("part").arg(serde_json::to_string(part)?).env_clear();
        Self::start(name, command)
    }

    /// The next line it says. Fails with what it said on stderr when it has ended.
    pub async fn hear(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        match line.with_context(|| format!("{} says nothing for {PATIENCE:?}", self.name))?? {
            Some(line) => Ok(line),
            None => {
                let complaint = self.complaint().await;
                bail!("{} ended: {complaint}", self.name)
            }
        }
    }

    /// Says a line to it.
    pub async fn say(&mut self, line: &str) -> anyhow::Result<()> {
        let said = self.input.write_all(format!("{line}\n").as_bytes()).await;
        said.with_context(|| format!("{} does not listen", self.name))
    }

    /// CPU time it has used so far, in seconds.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let pid = self.child.id().with_context(|| format!("{} has ended", self.name))?;
        Ok(clock::cpu_time(pid)?.as_secs_f64())
    }

    /// Ends it.
    pub async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }

    async fn complaint(&mut self) -> String {
        let mut said = Vec::new();
        if let Some(mut errors) = self.child.stderr.take() {
            // What cannot be read is not told.
            let _ =
                tokio::time::timeout(Duration::from_secs(5), errors.read_to_end(&mut said)).await;
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    }
}

impl MockProcess {
    /// Starts it; returns when it listens.
    pub async fn start(program: &Path, world: &World) -> anyhow::Result<Self> {
        let mut process = Process::part("the upstream", program, &Part::Mock(*world))?;
        let line = process.hear().await?;
        let url = line
            .strip_prefix("ready ")
            .context("the upstream does not say where it is")?
            .to_owned();
        Ok(Self { process, url })
    }

    /// How many GetRecords calls came so far.
    pub async fn reads(&mut self) -> anyhow::Result<u64> {
        self.process.say("reads").await?;
        Ok(self.process.hear().await?.parse()?)
    }

    /// When each page of a paced shard was first sent.
    pub async fn sent(&mut self, shard: &str) -> anyhow::Result<Vec<u64>> {
        self.process.say(&format!("sent {shard}")).await?;
        Ok(serde_json::from_str(&self.process.hear().await?)?)
    }
}

impl ServerProcess {
    /// Starts `serve` over the upstream, with those limits opened that are AWS's and not ours, and
    /// `idle_ms` between two looks at an idle shard; returns when it listens.
    pub async fn start(program: &Path, upstream: &str, idle_ms: u64) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args([
            "server",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "off",
            "--log",
            "warn",
        ]);
        command.args([
            "--shard-calls-per-second",
            "1000000",
            "--describe-calls-per-second",
            "1000",
        ]);
        command.args(["--max-streams-per-connection", "1000", "--reader-idle-timeout", "1s"]);
        command.arg(format!("--idle-poll-interval={idle_ms}ms"));
        command.env_clear().env("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", upstream);
        let mut process = Process::start("the server", command)?;
        let line = process.hear().await?;
        let url = line.split_once("grpc=").map(|(_, url)| url.trim().to_owned());
        let url = url.context("the server does not say where it is")?;
        Ok(Self { process, url })
    }

    /// CPU time it has used so far, in seconds.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        self.process.cpu()
    }

    /// Ends it.
    pub async fn end(self) -> anyhow::Result<()> {
        self.process.end().await
    }
}
