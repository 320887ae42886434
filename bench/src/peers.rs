//! The peers in other languages: what they need, installed into a folder of their own, and how they
//! are started.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use shardstream::cli::Output;

/// A program in another language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The AWS SDK v3 for JavaScript, in Node.
    Node,
    /// boto3.
    Boto3,
    /// bloop, over boto3.
    Bloop,
    /// grpcio: a client of this server in Python.
    Grpc,
}

/// What peers share: an interpreter with packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Node,
    Python,
}

/// The peers that have been asked for, and the folder they live in.
#[derive(Debug)]
pub struct Peers {
    folder: PathBuf,
    ready: BTreeMap<Place, Result<(), String>>,
}

const PYTHON_PACKAGES: &str = include_str!("../peers/requirements.txt");
const NODE_PACKAGES: &str = include_str!("../peers/package.json");

/// The scripts, by the names they get.
const PYTHON_SCRIPTS: [(&str, &str); 4] = [
    ("reading.py", include_str!("../peers/reading.py")),
    ("boto3_reader.py", include_str!("../peers/boto3_reader.py")),
    ("bloop_reader.py", include_str!("../peers/bloop_reader.py")),
    ("grpc_reader.py", include_str!("../peers/grpc_reader.py")),
];
const NODE_SCRIPTS: [(&str, &str); 1] =
    [("node_reader.mjs", include_str!("../peers/node_reader.mjs"))];

/// The contract, for the client in Python.
const PROTOS: [(&str, &str); 4] = [
    ("shard_service.proto", include_str!("../../proto/shardstream/v1/shard_service.proto")),
    ("events.proto", include_str!("../../proto/shardstream/v1/events.proto")),
    ("position.proto", include_str!("../../proto/shardstream/v1/position.proto")),
    ("record.proto", include_str!("../../proto/shardstream/v1/record.proto")),
];

impl Peers {
    /// None is ready yet.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), ready: BTreeMap::new() }
    }

    /// Gets ready what a peer needs, once for all that share it. `Err`: why it cannot take part.
    pub async fn prepare(&mut self, peer: Peer, out: &mut Output) -> Result<(), String> {
        let place = peer.place();
        if let Some(ready) = self.ready.get(&place) {
            return ready.clone();
        }
        let prepared = match place {
            Place::Node => self.prepare_node(out).await,
            Place::Python => self.prepare_python(out).await,
        };
        let prepared = prepared.map_err(|error| format!("{error:#}"));
        self.ready.insert(place, prepared.clone());
        prepared
    }

    /// The command of a peer that is ready, but for its plan.
    pub fn command(&self, peer: Peer) -> anyhow::Result<Command> {
        let folder = self.folder(peer.place());
        let mut command = match peer.place() {
            Place::Node => Command::new("node"),
            Place::Python => {
                Command::new(fs::canonicalize(&folder)?.join("venv").join("bin").join("python"))
            }
        };
        command.arg(folder.join(peer.script()));
        Ok(command)
    }

    async fn prepare_node(&self, out: &mut Output) -> anyhow::Result<()> {
        let folder = self.folder(Place::Node);
        works("node", &["--version"]).await?;
        scripts(&folder, &NODE_SCRIPTS)?;
        if is_installed(&folder, NODE_PACKAGES) {
            return Ok(());
        }
        out.say(format_args!("installing packages for Node into {}", folder.display()));
        fs::write(folder.join("package.json"), NODE_PACKAGES)?;
        let mut install = Command::new("npm");
        install.args(["install", "--silent", "--no-audit", "--no-fund"]).current_dir(&folder);
        done(install).await?;
        note_installed(&folder, NODE_PACKAGES)
    }

    async fn prepare_python(&self, out: &mut Output) -> anyhow::Result<()> {
        let folder = self.folder(Place::Python);
        works("python3", &["--version"]).await?;
        scripts(&folder, &PYTHON_SCRIPTS)?;
        let wanted = PROTOS.iter().fold(PYTHON_PACKAGES.to_owned(), |all, (_, text)| all + text);
        if is_installed(&folder, &wanted) {
            return Ok(());
        }
        out.say(format_args!("installing packages for Python into {}", folder.display()));
        let protos = folder.join("proto").join("shardstream").join("v1");
        scripts(&protos, &PROTOS)?;
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear", "venv"]).current_dir(&folder);
        done(venv).await?;
        fs::write(folder.join("requirements.txt"), PYTHON_PACKAGES)?;
        let python = fs::canonicalize(&folder)?.join("venv").join("bin").join("python");
        let mut install = Command::new(&python);
        install.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-input",
            "--disable-pip-version-check",
        ]);
        install.args(["--requirement", "requirements.txt"]).current_dir(&folder);
        done(install).await?;
        let mut stubs = Command::new(&python);
        stubs.args(["-m", "grpc_tools.protoc", "-Iproto", "--python_out=.", "--grpc_python_out=."]);
        stubs
            .args(PROTOS.map(|(name, _)| format!("proto/shardstream/v1/{name}")))
            .current_dir(&folder);
        done(stubs).await?;
        note_installed(&folder, &wanted)
    }

    fn folder(&self, place: Place) -> PathBuf {
        self.folder.join(match place {
            Place::Node => "node",
            Place::Python => "python",
        })
    }
}

impl Peer {
    fn place(self) -> Place {
        match self {
            Self::Node => Place::Node,
            Self::Boto3 | Self::Bloop | Self::Grpc => Place::Python,
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Node => "node_reader.mjs",
            Self::Boto3 => "boto3_reader.py",
            Self::Bloop => "bloop_reader.py",
            Self::Grpc => "grpc_reader.py",
        }
    }
}

fn scripts(folder: &Path, scripts: &[(&str, &str)]) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    for (name, text) in scripts {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}

/// Whether exactly this was installed to the end.
fn is_installed(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join("installed")).is_ok_and(|installed| installed == wanted)
}

fn note_installed(folder: &Path, wanted: &str) -> anyhow::Result<()> {
    Ok(fs::write(folder.join("installed"), wanted)?)
}

async fn works(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments);
    done(command).await
}

/// Runs it to its end.
async fn done(mut command: Command) -> anyhow::Result<()> {
    let shown = command.as_std().get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.with_context(|| format!("{shown} cannot be run"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{shown} failed: {}",
        said.trim().lines().next_back().unwrap_or_default()
    );
    Ok(())
}
