//! How flags, environment, file and defaults become one set of values, and which of them each value
//! came from.
//!
//! The first two are clap's own work. The file's values then take the place of clap's defaults, and
//! the command line is parsed once more: whatever clap still says came from a default came from the
//! file where the file has it.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::ConfigError;
use super::args::Cli;
use super::environment;
use super::file::ConfigFile;

/// A command line, resolved.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The values.
    pub(super) cli: Cli,
    /// Where they came from.
    pub(super) settings: Vec<Setting>,
}

/// One flag of the command that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// The flag's name, without dashes.
    pub(super) key: String,
    /// The heading it stands under in the help.
    pub(super) heading: String,
    /// Its value as text; `None` when it has none.
    pub(super) value: Option<String>,
    /// Where the value came from.
    pub(super) origin: Provenance,
}

/// Where a value came from, the strongest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Provenance {
    Flag,
    Env(String),
    File(PathBuf),
    Default,
}

impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The whole command line, every flag with its twin in the environment.
pub(super) fn command() -> Command {
    with_twins(Cli::command())
}

/// Resolves a command line, the program's name first.
pub(super) fn resolve(args: &[OsString]) -> Result<Resolved, ConfigError> {
    let mut command = command();
    let mut matches = parse(command.clone(), args)?;
    let mut file = None;
    if let (Some(path), Some(name)) =
        (matches.get_one::<PathBuf>("config"), matches.subcommand_name())
    {
        let read = ConfigFile::read(path, &command)?;
        command = with_file(command, name, &read);
        matches = parse(command.clone(), args)?;
        file = Some(read);
    }
    let settings = settings(&command, &matches, file.as_ref());
    let cli = Cli::from_arg_matches(&matches)?;
    Ok(Resolved { cli, settings })
}

fn with_twins(command: Command) -> Command {
    command
        .mut_args(|arg| match env_name(&arg) {
            // Set and empty is unset, as people mean it: clap would take it for a value.
            Some(name) if environment::is_empty(&name) => switch(arg),
            Some(name) => switch(arg).env(name).hide_env_values(true),
            None => arg,
        })
        .mut_subcommands(with_twins)
}

fn env_name(arg: &Arg) -> Option<String> {
    arg.get_long().map(|long| format!("SHARDSTREAM_{}", long.replace('-', "_").to_uppercase()))
}

/// A flag without a value can also be given `=false`: else none could take back what environment or
/// file say.
fn switch(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .value_parser(clap::builder::BoolishValueParser::new())
        .value_name("BOOL")
        .hide_possible_values(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
}

fn with_file(command: Command, name: &str, file: &ConfigFile) -> Command {
    command.mut_subcommand(name, |command| {
        command.mut_args(|arg| match arg.get_long().and_then(|long| file.value(name, long)) {
            Some(value) => {
                let value = value.to_owned();
                arg.default_value(value)
            }
            None => arg,
        })
    })
}

fn parse(command: Command, args: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let mut built = command.clone();
    command.try_get_matches_from(args).map_err(|mut error| {
        // clap names the flag even when the value came from its twin.
        if let Some(twin) = blamed_twin(&mut built, &error, args) {
            let tip = format!("the value comes from the environment variable {twin}").into();
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
        error
    })
}

/// The environment variable that holds the value `error` complains about.
fn blamed_twin(command: &mut Command, error: &clap::Error, args: &[OsString]) -> Option<String> {
    let Some(ContextValue::String(usage)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = usage.split([' ', '=', '[']).next()?;
    let given =
        |arg: &OsString| arg.to_str().is_some_and(|arg| arg.split('=').next() == Some(flag));
    if args.iter().any(given) {
        return None;
    }
    let long = flag.strip_prefix("--")?;
    let mut everywhere =
        command.get_subcommands().chain([&*command]).flat_map(Command::get_arguments);
    let arg = everywhere.find(|arg| arg.get_long() == Some(long))?;
    let name = arg.get_env()?.to_str()?;
    std::env::var_os(name).map(|_| name.to_owned())
}

fn settings(command: &Command, matches: &ArgMatches, file: Option<&ConfigFile>) -> Vec<Setting> {
    let Some((name, own)) = matches.subcommand() else { return Vec::new() };
    let Some(command) = command.find_subcommand(name) else { return Vec::new() };
    let setting = |arg: &Arg| {
        let key = arg.get_long()?.to_owned();
        let id = arg.get_id().as_str();
        let value = own.get_raw(id).map(|values| {
            let values = values.map(|value| value.to_string_lossy());
            values.collect::<Vec<_>>().join(",")
        });
        let origin = match own.value_source(id) {
            Some(ValueSource::CommandLine) => Provenance::Flag,
            Some(ValueSource::EnvVariable) => Provenance::Env(env_name(arg)?),
            _ => match file {
                Some(file) if file.value(name, &key).is_some() => {
                    Provenance::File(file.path().to_owned())
                }
                _ => Provenance::Default,
            },
        };
        Some(Setting {
            heading: arg.get_help_heading().unwrap_or("Options").to_owned(),
            key,
            value,
            origin,
        })
    };
    command.get_arguments().filter_map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        command().debug_assert();
    }

    /// Kubernetes sets SHARDSTREAM_PORT, SHARDSTREAM_PORT_... and SHARDSTREAM_SERVICE_... beside a
    /// service of our name.
    #[test]
    fn no_twin_is_a_variable_that_kubernetes_sets() {
        for command in command().get_subcommands() {
            for name in command.get_arguments().filter_map(env_name) {
                let ours = name.trim_start_matches("SHARDSTREAM_");
                assert!(!ours.starts_with("PORT") && !ours.starts_with("SERVICE"), "{name}");
            }
        }
    }
}
