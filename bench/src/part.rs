//! What a started process does: gets ready, says so, waits for the word, reads, tells what it got,
//! and waits for its end.
//!
//! The lines on stdout and stdin are the same for peers in other languages: `ready`, then `go` from
//! the other side, then one JSON object.

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader, Stdin};

use super::client::GrpcReader;
use super::mock::{Answers, Mock};
use super::plan::{Manner, Part, Reader, Told};
use super::sdk::SdkReader;
use shardstream::cli::Output;
use shardstream::config::{Color, OutputFormat as Format};

/// Does it, on one thread.
pub async fn run(part: Part) -> anyhow::Result<()> {
    let mut talk = Talk::new();
    match part {
        Part::Mock(world) => {
            let mock = Mock::bind(&world).await?;
            talk.say(&format!("ready {}", mock.url()))?;
            let answers = mock.answers();
            // Either way this is the end of the process: what is cancelled is not polled again.
            tokio::select! {
                biased;
                ended = tell(&answers, &mut talk) => ended,
                served = mock.serve() => Ok(served?),
            }
        }
        Part::Reader(reader) => {
            let told = read(&reader, &mut talk).await?;
            talk.say(&serde_json::to_string(&told)?)?;
            // Its CPU time is looked up before it may go.
            talk.hear().await.map(drop)
        }
    }
}

/// Says how many reads came (`reads`), and when each page of a paced shard was first sent (`sent
/// SHARD`), as often as it is asked, until nobody asks any more.
async fn tell(answers: &Answers, talk: &mut Talk) -> anyhow::Result<()> {
    while let Some(question) = talk.hear().await? {
        let answer = match question.split_once(' ') {
            Some(("sent", shard)) => serde_json::to_string(&answers.sent(shard))?,
            _ => answers.reads().to_string(),
        };
        talk.say(&answer)?;
    }
    Ok(())
}

async fn read(plan: &Reader, talk: &mut Talk) -> anyhow::Result<Told> {
    match plan.manner {
        Manner::Sdk | Manner::SdkPages => {
            let reader = SdkReader::new(plan);
            reader.warm_up().await?;
            talk.ready().await?;
            if plan.manner == Manner::SdkPages { reader.pages().await } else { reader.read().await }
        }
        Manner::SdkFollow => {
            let reader = SdkReader::new(plan);
            let placed = reader.placed().await?;
            talk.ready().await?;
            reader.follow(placed).await
        }
        Manner::Follow => {
            let following = GrpcReader::connect(plan).await?.followed().await?;
            talk.ready().await?;
            following.go_on().await
        }
        Manner::Raw | Manner::Decoded | Manner::Whole | Manner::Pages => {
            let reader = GrpcReader::connect(plan).await?;
            reader.warm_up().await?;
            talk.ready().await?;
            match plan.manner {
                Manner::Whole => reader.whole().await,
                Manner::Pages => reader.pages().await,
                _ => reader.read().await,
            }
        }
        Manner::Foreign => anyhow::bail!("peers in other languages are other programs"),
    }
}

/// The other side: who started this process.
struct Talk {
    out: Output,
    lines: tokio::io::Lines<BufReader<Stdin>>,
}

impl Talk {
    fn new() -> Self {
        let lines = BufReader::new(tokio::io::stdin()).lines();
        Self { out: Output::standard(Format::Json, Color::Never), lines }
    }

    fn say(&mut self, line: &str) -> std::io::Result<()> {
        self.out.text(line)?;
        self.out.flush()
    }

    /// `None`: nobody is there any more.
    async fn hear(&mut self) -> anyhow::Result<Option<String>> {
        Ok(self.lines.next_line().await?)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        self.say("ready")?;
        self.hear().await?.context("nobody said go").map(drop)
    }
}
