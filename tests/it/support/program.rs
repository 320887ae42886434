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
}

impl Program {
    /// Starts it on free ports with `arguments`, in an environment of nothing but `variables`. `Err`: it ended, and said so.
    pub async fn serve(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shardstream"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off"]).args(arguments);
        command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", "/nowhere").env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
        command.envs(variables.iter().copied()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().expect("the program was built");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).await.expect("readable");
        let Some((_, address)) = line.split_once("grpc=") else {
            let mut said = String::new();
            child.stderr.take().expect("piped").read_to_string(&mut said).await.expect("readable");
            return Err(said);
        };
        let grpc = address.split_whitespace().next().expect("an address").to_owned();
        Ok(Self { child, grpc })
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(self.grpc.clone()).expect("an address").connect().await.expect("it listens")
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
