//! Whether the flags of a client command make sense together.

use super::CheckError;
use crate::config::StartPosition;
use crate::config::client::{ClientFlags, OutputFormat, Server, TailArgs, TreeArgs, TreeOutput};

/// What `tail` was asked for, checked.
pub(in crate::config) fn tail(args: Box<TailArgs>) -> Result<Box<TailArgs>, CheckError> {
    client(&args.client)?;
    match (&args.format, args.output.output, &args.from, &args.shard) {
        (Some(_), OutputFormat::Json, ..) => Err(CheckError::Together("format", "output json")),
        (_, _, StartPosition::At(_) | StartPosition::After(_), None) => Err(CheckError::WhichShard),
        _ => Ok(args),
    }
}

/// What `tree` was asked for, checked.
pub(in crate::config) fn tree(args: TreeArgs) -> Result<TreeArgs, CheckError> {
    client(&args.client)?;
    match args.output {
        TreeOutput::Dot if args.watch => Err(CheckError::Together("watch", "output dot")),
        TreeOutput::Mermaid if args.watch => Err(CheckError::Together("watch", "output mermaid")),
        _ => Ok(args),
    }
}

/// Whether the flags of a client's connection go together.
pub(in crate::config) fn client(flags: &ClientFlags) -> Result<(), CheckError> {
    match (&flags.secure.tls_cert, &flags.secure.tls_key) {
        (Some(_), None) => return Err(CheckError::Without("tls-cert", "tls-key")),
        (None, Some(_)) => return Err(CheckError::Without("tls-key", "tls-cert")),
        (Some(_), Some(_)) | (None, None) => {}
    }
    if matches!(flags.server, Server::Unix(_)) && flags.tls().is_some() {
        return Err(CheckError::UnixTls);
    }
    if flags.secure.token_file.is_some() && flags.tls().is_none() && !flags.is_local() {
        return Err(CheckError::PlaintextToken);
    }
    Ok(())
}
