//! `config print`: every setting of a command as a configuration file, each with where it came
//! from.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use super::layers::{self, Setting};
use super::{ConfigError, Invocation};

/// The text for the command line `rest`, which is `serve` unless it begins with another command.
/// Refuses what running it would refuse.
pub(super) fn text(config: Option<&Path>, rest: Vec<OsString>) -> Result<String, ConfigError> {
    let mut args: Vec<OsString> = vec!["shardstream".into()];
    if let Some(path) = config {
        args.extend(["--config".into(), path.as_os_str().to_owned()]);
    }
    if rest.first().is_none_or(|first| first.to_string_lossy().starts_with('-')) {
        args.push("serve".into());
    }
    args.extend(rest);
    let resolved = layers::resolve(&args)?;
    let settings = settings_text(&resolved.settings);
    match Invocation::of(resolved.cli)? {
        Invocation::Serve(_)
        | Invocation::Doctor(_)
        | Invocation::Dev(_)
        | Invocation::Simulate(_)
        | Invocation::Client(_) => Ok(settings),
        Invocation::Token(_)
        | Invocation::Print(_)
        | Invocation::Completions(_)
        | Invocation::ManPages(_) => Err(ConfigError::NothingToPrint),
    }
}

fn settings_text(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut heading = None;
    for Setting { key, heading: under, value, origin } in settings {
        if heading != Some(under) {
            let blank = if heading.is_some() { "\n" } else { "" };
            let _ = writeln!(text, "{blank}# {under}");
            heading = Some(under);
        }
        // Writing to a String cannot fail.
        let _ = match value {
            Some(value) => {
                writeln!(text, "{:<54} # {origin}", format!("{key} = {}", literal(value)))
            }
            None => writeln!(text, "{:<54} # not set", format!("# {key} =")),
        };
    }
    text
}

/// `value` as TOML.
fn literal(value: &str) -> String {
    let bare = value.parse::<i64>().is_ok_and(|number| number.to_string() == value)
        || matches!(value, "true" | "false");
    if bare { value.to_owned() } else { toml::Value::String(value.to_owned()).to_string() }
}
