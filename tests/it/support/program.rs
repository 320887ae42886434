//! The program itself, as a user starts it.

use std::process::Stdio;

use shardstream::pb::server_service_client::ServerServiceClient;
use shardstream::pb::shard_service_client::ShardServiceClient;
use shardstream::pb::stream_service_client::StreamServiceClient;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::Channel;

/// A running `shardstream serve`; killed when dropped.
pub struct Program {
    pub child: Child,
    pub grpc: String,
    /// Where its admin port is, without a scheme.
    pub admin: String,
}

impl Program {
    /// Starts it on free ports with `arguments`, in an environment of nothing but `variables`.
    /// `Err`: it ended, and said so.
    pub async fn serve(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Self, String> {
        Self::serve_or_exit(arguments, variables).await.map_err(|(_, said)| said)
    }

    /// The same; `Err`: its exit code, too.
    pub async fn serve_or_exit(
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self, (Option<i32>, String)> {
        // Another build of it, where what is measured is to be measured as it ships.
        let built = || env!("CARGO_BIN_EXE_shardstream").into();
        let mut command = Command::new(std::env::var_os("SHARDSTREAM_BIN").unwrap_or_else(built));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(arguments);
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", "/nowhere").env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
        command
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the program was built");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).await.expect("readable");
        let address = |name| Some(line.split_once(name)?.1.split_whitespace().next()?.to_owned());
        let (Some(grpc), Some(admin)) = (address("grpc="), address("admin=http://")) else {
            let mut said = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut said).await.expect("readable");
            return Err((child.wait().await.expect("waited for").code(), said));
        };
        Ok(Self { child, grpc, admin })
    }

    /// A connection of one's own.
    pub async fn channel(&self) -> Channel {
        Channel::from_shared(self.grpc.clone())
            .expect("an address")
            .connect()
            .await
            .expect("it listens")
    }

    pub async fn shards(&self) -> ShardServiceClient<Channel> {
        ShardServiceClient::new(self.channel().await)
    }

    pub async fn streams(&self) -> StreamServiceClient<Channel> {
        StreamServiceClient::new(self.channel().await)
    }

    pub async fn info(&self) -> ServerServiceClient<Channel> {
        ServerServiceClient::new(self.channel().await)
    }
}
