//! The fault script: a TOML file of rules, read again when it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;
use shardstream_simulator::Rule;

use crate::dev::DevError;

/// A file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    #[serde(default)]
    fault: Vec<Rule>,
}

/// A script on disk.
#[derive(Debug)]
pub(super) struct Script {
    path: PathBuf,
    /// When it was changed, and its length, as it was last looked at.
    seen: Option<(SystemTime, u64)>,
}

/// The rules of a script. The error says the line and the column.
pub(super) fn rules(text: &str) -> Result<Vec<Rule>, toml::de::Error> {
    toml::from_str::<Rules>(text).map(|rules| rules.fault)
}

impl Script {
    /// Reads a script for the first time.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Rule>), DevError> {
        let mut script = Self { path: path.to_owned(), seen: None };
        let rules = script.read()?;
        Ok((script, rules))
    }

    /// The rules, if the file has changed since it was looked at. Blocks on the disk.
    pub(super) fn changed(&mut self) -> Option<Result<Vec<Rule>, DevError>> {
        let seen = self.look();
        // One that is gone for a moment, as while an editor writes it, has not changed.
        if seen.is_none() || seen == self.seen {
            return None;
        }
        Some(self.read())
    }

    fn read(&mut self) -> Result<Vec<Rule>, DevError> {
        self.seen = self.look();
        let path = || self.path.clone();
        let text = fs::read_to_string(&self.path)
            .map_err(|source| DevError::ScriptFile { path: path(), source })?;
        rules(&text).map_err(|source| DevError::Script { path: path(), source: Box::new(source) })
    }

    fn look(&self) -> Option<(SystemTime, u64)> {
        let file = fs::metadata(&self.path).ok()?;
        Some((file.modified().ok()?, file.len()))
    }
}
