//! The configuration file: TOML whose keys are the flags' names. A table named as a command holds
//! for it alone and beats what stands at the top.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

/// Why the file was refused; the text is for whoever wrote it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not TOML.
    #[error("the configuration file {} is not TOML: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why not.
        source: toml::de::Error,
    },
    /// A key that no command has, or not the one whose table it stands in.
    #[error("unknown key {key:?} in the configuration file {}{}", path.display(), did_you_mean(suggestion))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// A key that looks like it.
        suggestion: Option<String>,
    },
    /// A value that its key does not take.
    #[error("bad value for {key:?} in the configuration file {}: {reason}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A file whose every key and value has been checked.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    everywhere: BTreeMap<String, String>,
    commands: BTreeMap<String, BTreeMap<String, String>>,
}

impl ConfigFile {
    /// Reads `path` and checks it against the flags of `cli`'s commands.
    pub(super) fn read(path: &Path, cli: &Command) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text, cli)
    }

    fn parse(path: &Path, text: &str, cli: &Command) -> Result<Self, FileError> {
        let top: toml::Table =
            text.parse().map_err(|source| FileError::Syntax { path: path.to_owned(), source })?;
        let mut file =
            Self { path: path.to_owned(), everywhere: BTreeMap::new(), commands: BTreeMap::new() };
        let all = flags(cli.get_subcommands());
        for (key, value) in top {
            match (value, cli.find_subcommand(&key)) {
                (toml::Value::Table(table), Some(command)) => {
                    let own = flags([command]);
                    let values = table
                        .into_iter()
                        .map(|(name, value)| {
                            let value =
                                file.checked(&own, &format!("{key}.{name}"), &name, value)?;
                            Ok((name, value))
                        })
                        .collect::<Result<_, FileError>>()?;
                    file.commands.insert(key, values);
                }
                (value, _) => {
                    let value = file.checked(&all, &key, &key, value)?;
                    file.everywhere.insert(key, value);
                }
            }
        }
        Ok(file)
    }

    /// Where it was read from.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says about `flag` of `command`.
    pub(super) fn value(&self, command: &str, flag: &str) -> Option<&str> {
        let own = self.commands.get(command).and_then(|values| values.get(flag));
        own.or_else(|| self.everywhere.get(flag)).map(String::as_str)
    }

    /// The value as a flag would be given it. clap itself judges key and value, so that the file
    /// and the command line know the same words and say the same about mistakes.
    fn checked(
        &self,
        flags: &Command,
        key: &str,
        flag: &str,
        value: toml::Value,
    ) -> Result<String, FileError> {
        let refused =
            |reason| FileError::Value { path: self.path.clone(), key: key.to_owned(), reason };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => value.to_string(),
            toml::Value::Array(values) if takes_many(flags, flag) => many(values)
                .ok_or_else(|| refused("strings without commas in them are wanted".to_owned()))?,
            toml::Value::Table(_)
                if !flags.get_arguments().any(|arg| arg.get_long() == Some(flag)) =>
            {
                String::new()
            }
            toml::Value::Array(_) | toml::Value::Table(_) => {
                return Err(refused("a string, a number or true or false is wanted".to_owned()));
            }
        };
        let error = match flags
            .clone()
            .try_get_matches_from(["file".to_owned(), format!("--{flag}={text}")])
        {
            Ok(_) => return Ok(text),
            Err(error) => error,
        };
        if error.kind() == ErrorKind::UnknownArgument {
            let suggestion = match error.get(ContextKind::SuggestedArg) {
                Some(ContextValue::String(flag)) => Some(flag.trim_start_matches('-').to_owned()),
                _ => None,
            };
            return Err(FileError::Unknown {
                path: self.path.clone(),
                key: key.to_owned(),
                suggestion,
            });
        }
        let source = std::error::Error::source(&error).map(ToString::to_string);
        Err(refused(source.unwrap_or_else(|| first_line(&error))))
    }
}

/// Whether the flag may be given several times.
fn takes_many(flags: &Command, flag: &str) -> bool {
    let mut args = flags.get_arguments();
    args.any(|arg| arg.get_long() == Some(flag) && arg.get_value_delimiter().is_some())
}

/// The values as a flag takes them at once.
fn many(values: Vec<toml::Value>) -> Option<String> {
    let texts = values.into_iter().map(|value| match value {
        toml::Value::String(text) if !text.contains(',') => Some(text),
        _ => None,
    });
    Some(texts.collect::<Option<Vec<_>>>()?.join(","))
}

/// A command that has exactly the flags of `commands`, each once and none of them required.
fn flags<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Command {
    let mut args: BTreeMap<String, Arg> = BTreeMap::new();
    for arg in commands.into_iter().flat_map(Command::get_arguments) {
        if let Some(long) = arg.get_long() {
            args.entry(long.to_owned()).or_insert_with(|| arg.clone());
        }
    }
    Command::new("file").disable_help_flag(true).args(args.into_values())
}

fn did_you_mean(suggestion: &Option<String>) -> String {
    suggestion.as_ref().map(|key| format!(": did you mean {key:?}?")).unwrap_or_default()
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::layers;

    fn parse(text: &str) -> Result<ConfigFile, String> {
        ConfigFile::parse(Path::new("f.toml"), text, &layers::command())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_commands_table_beats_the_top() {
        let file = parse(
            "reader-idle-timeout = '5s'\nmax-streams = 7\n[serve]\nreader-idle-timeout = '6s'\n",
        )
        .expect("a file");
        assert_eq!(file.value("serve", "reader-idle-timeout"), Some("6s"));
        assert_eq!(file.value("tail", "reader-idle-timeout"), Some("5s"));
        assert_eq!(file.value("serve", "max-streams"), Some("7"));
        assert_eq!(file.value("serve", "listen"), None);
    }

    #[test]
    fn unknown_keys_are_refused_with_a_guess() {
        let error = parse("listn = '127.0.0.1:1'").expect_err("unknown");
        assert_eq!(
            error,
            r#"unknown key "listn" in the configuration file f.toml: did you mean "listen"?"#
        );
        let error = parse("[tail]\nlisten = '127.0.0.1:1'").expect_err("not tail's");
        assert!(error.starts_with(r#"unknown key "tail.listen" in"#), "{error}");
        for bad in
            ["help = true", "config = 'other.toml'", "[nonsense]\na = 1", "[serve.more]\na = 1"]
        {
            let error = parse(bad).expect_err(bad);
            assert!(error.starts_with("unknown key"), "{bad}: {error}");
        }
    }

    #[test]
    fn bad_values_are_refused_where_they_stand() {
        let error = parse("[serve]\nreader-idle-timeout = 30").expect_err("no unit");
        assert_eq!(
            error,
            r#"bad value for "serve.reader-idle-timeout" in the configuration file f.toml: a duration is written with its unit, such as 30s, 200ms or 5m"#
        );
        for bad in [
            "listen = [1]",
            "listen = ['1.1.1.1:1,2.2.2.2:2']",
            "max-streams = ['1']",
            "[listen]\na = 1",
            "log-format = 'xml'",
            "page-records = 'many'",
        ] {
            let error = parse(bad).expect_err(bad);
            assert!(error.starts_with("bad value for"), "{bad}: {error}");
        }
        assert!(parse("listen =").expect_err("no TOML").contains("is not TOML"));
    }
}
