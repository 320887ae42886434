//! The loop of README.md, by a target, table and token file of one's own, and by TLS if there are
//! files for it.
//!
//! ```sh
//! cargo run -p shardstream-client --example loop -- TARGET TABLE TOKEN_FILE [CA CERTIFICATE KEY]
//! ```

use shardstream_client::{Client, FileTokenStore, Tls};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (target, table, file, tls) = match &arguments[..] {
        [target, table, file] => (target, table, file, None),
        [target, table, file, ca, certificate, key] => {
            (target, table, file, Some(Tls::new().ca(ca).identity(certificate, key)))
        }
        _ => return Err("usage: loop TARGET TABLE TOKEN_FILE [CA CERTIFICATE KEY]".into()),
    };
    let mut builder = Client::builder(target);
    if let Some(tls) = tls {
        builder = builder.tls(tls);
    }
    let client = builder.build()?;

    let mut records = client.subscribe(table).store(FileTokenStore::new(file)).open();
    while let Some(message) = records.next().await {
        for record in message?.records {
            println!("{} {} {:?}", record.shard_id, record.kind(), record.key());
        }
    }
    Ok(())
}
