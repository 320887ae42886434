//! Follows a stream and says what was lost, in its place; what to do about it is yours.
//!
//! ```sh
//! cargo run -p shardstream-client --example losses -- tell|stop TABLE TOKEN_FILE [TARGET]
//! ```

use shardstream_client::{
    Client, Error, ErrorKind, Event, FileTokenStore, Message, Policy, TokenStore as _,
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (way, table, file, target) = match &arguments[..] {
        [way, table, file] => (way, table, file, "localhost:50051"),
        [way, table, file, target] => (way, table, file, target.as_str()),
        _ => return Err("usage: losses tell|stop TABLE TOKEN_FILE [TARGET]".into()),
    };
    let (client, store) = (Client::new(target)?, FileTokenStore::new(file));
    match way.as_str() {
        "tell" => Ok(tell(&client, table, store).await?),
        "stop" => stop(&client, table, store).await,
        _ => Err("tell or stop?".into()),
    }
}

/// Goes on over losses: they are events between the records.
async fn tell(client: &Client, table: &str, store: FileTokenStore) -> Result<(), Error> {
    let mut messages = client
        .subscribe(table)
        .store(store)
        .on_gap(Policy::Continue)
        .on_unreadable(Policy::Continue)
        .open();
    while let Some(message) = messages.next().await {
        let message = message?;
        match &message.event {
            Some(Event::Gap(gap)) => {
                let lost = if gap.certain { "lost" } else { "may have lost" };
                let after = Some(gap.after_sequence_number.as_str()).filter(|it| !it.is_empty());
                let after = after.unwrap_or("its beginning");
                println!("{}: {lost} records after {after}", gap.shard_id);
            }
            Some(Event::Unreadable(one)) => {
                let (shard, number) = (&one.shard_id, &one.sequence_number);
                println!("{shard}: record {number} cannot be read: {}", one.cause);
            }
            _ => {}
        }
        print(&message);
    }
    Ok(())
}

/// Stops at a loss, as a client does unless told otherwise, and accepts it knowingly.
async fn stop(
    client: &Client,
    table: &str,
    store: FileTokenStore,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    loop {
        let mut messages = client.subscribe(table).store(store.clone()).open();
        let failed = loop {
            match messages.next().await {
                Some(Ok(message)) => print(&message),
                Some(Err(error)) => break error,
                // Only a stream that is named by its ARN has an end.
                None => return Ok(()),
            }
        };
        match failed.kind {
            ErrorKind::RecordsTrimmed | ErrorKind::RecordUnreadable => {
                println!("accepted: {:?}", failed.losses);
                // Without this the next loop stops at the same loss.
                store.save(&failed.token).await?;
            }
            _ => return Err(failed.into()),
        }
    }
}

fn print(message: &Message) {
    for record in &message.records {
        println!("{}: {}", record.shard_id, record.sequence_number());
    }
}
