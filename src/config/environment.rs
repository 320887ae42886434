//! Variables that are set and empty: to people they are unset, to most libraries they are values,
//! and bad ones.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// How the names of variables begin that libraries read for themselves.
const THEIRS: [&str; 6] =
    ["AWS_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_"];

/// Whether the variable is set, and empty.
pub(super) fn is_empty(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Starts this process again without those variables of AWS's and of proxies that are set and
/// empty, if there are any.
///
/// An empty `AWS_PROFILE` or `AWS_REGION`, as compose files and charts leave them, would be taken
/// for a name. The SDK reads the environment itself and can be given no other, and no safe call
/// takes a variable out of a running process's.
pub fn without_empty() -> io::Result<()> {
    let empty: Vec<OsString> = std::env::vars_os()
        .filter(|(name, value)| misleads(name, value))
        .map(|(name, _)| name)
        .collect();
    if empty.is_empty() {
        return Ok(());
    }
    let mut arguments = std::env::args_os();
    let mut again = Command::new(std::env::current_exe()?);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    again.args(arguments);
    for name in empty {
        again.env_remove(name);
    }
    // Returns only where it fails.
    Err(again.exec())
}

/// The variable's value, if it is set and text.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var_os(name)?.into_string().ok()
}

/// The names that systemd says the sockets have that it passes on; empty without any.
pub fn socket_names() -> String {
    let names = std::env::var_os("LISTEN_FDNAMES").unwrap_or_default();
    names.to_string_lossy().into_owned()
}

fn misleads(name: &OsStr, value: &OsStr) -> bool {
    let name = name.to_string_lossy().to_ascii_uppercase();
    value.is_empty() && THEIRS.iter().any(|theirs| name.starts_with(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_empty_variables_of_aws_and_of_proxies_mislead() {
        for (name, value, does) in [
            ("AWS_PROFILE", "", true),
            ("AWS_ENDPOINT_URL", "", true),
            ("https_proxy", "", true),
            ("NO_PROXY", "", true),
            ("AWS_PROFILE", "mine", false),
            ("PATH", "", false),
            ("MY_AWS_REGION", "", false),
        ] {
            assert_eq!(misleads(OsStr::new(name), OsStr::new(value)), does, "{name}={value}");
        }
    }
}
