//! Connections: the limit, the deadline of the first byte, and slots that come back.
//!
//! Real sockets know no paused clock: what must not happen within a deadline has a deadline of an
//! hour, what must has one of a few milliseconds, and nothing sleeps.

use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use shardstream::grpc::transport::connection::Connection;
use shardstream::grpc::transport::listener::Incoming;
use shardstream::grpc::transport::socket::BoundAddress;
use shardstream::limits::TransportLimits;
use shardstream::metrics::Metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NEVER: Duration = Duration::from_secs(3_600);

async fn incoming(connections: usize, first_byte: Duration) -> (Incoming, SocketAddr, Metrics) {
    let limits = TransportLimits { connections, first_byte, ..TransportLimits::default() };
    let metrics = Metrics::new();
    let any = "127.0.0.1:0".parse().unwrap();
    let incoming = Incoming::bind(any, &limits, metrics.clone()).await.unwrap();
    let [BoundAddress::Tcp(address)] = incoming.local_addrs().unwrap()[..] else { panic!("one") };
    (incoming, address, metrics)
}

async fn speaking(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"PRI * HTTP/2.0").await.unwrap();
    client
}

async fn next(incoming: &mut Incoming) -> Connection {
    let Ok(connection) = incoming.next().await.expect("it never ends");
    connection
}

#[tokio::test]
async fn a_connection_that_speaks_comes_in_whole() {
    let (mut incoming, address, metrics) = incoming(10, NEVER).await;
    let mut client = speaking(address).await;
    let mut connection = next(&mut incoming).await;
    assert_eq!(connection.remote_addr(), Some(client.local_addr().unwrap()));
    let mut seen = [0; 14];
    connection.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"PRI * HTTP/2.0");
    connection.write_all(b"settings").await.unwrap();
    let mut seen = [0; 8];
    client.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"settings");
    assert!(metrics.render().contains("shardstream_connections_active 1\n"));
    drop(connection);
    assert!(metrics.render().contains("shardstream_connections_active 0\n"));
}

#[tokio::test]
async fn a_silent_connection_is_closed_at_its_deadline() {
    let (mut incoming, address, _) = incoming(10, Duration::from_millis(20)).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    tokio::select! {
        _ = incoming.next() => panic!("a silent connection came in"),
        read = client.read(&mut byte) => assert_eq!(read.unwrap(), 0),
    }
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_others() {
    let (mut incoming, address, _) = incoming(10, NEVER).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let speaking = speaking(address).await;
    let connection = next(&mut incoming).await;
    assert_eq!(connection.remote_addr(), Some(speaking.local_addr().unwrap()));
}

#[tokio::test]
async fn past_the_limit_clients_wait_until_a_slot_comes_back() {
    let (mut incoming, address, _) = incoming(1, NEVER).await;
    let _first = speaking(address).await;
    let held = next(&mut incoming).await;
    let second = speaking(address).await;
    // By the time another listener has brought in a later client, this one would have brought in
    // the second.
    let (mut other, other_address, _) = self::incoming(1, NEVER).await;
    let _later = speaking(other_address).await;
    tokio::select! {
        _ = next(&mut incoming) => panic!("past its limit"),
        _ = next(&mut other) => {}
    }
    drop(held);
    let connection = next(&mut incoming).await;
    assert_eq!(connection.remote_addr(), Some(second.local_addr().unwrap()));
}

#[tokio::test]
async fn a_silent_connections_slot_comes_back_too() {
    let (mut incoming, address, _) = incoming(1, Duration::from_millis(20)).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let hasty = TcpStream::connect(address).await.unwrap();
    drop(hasty);
    let speaking = speaking(address).await;
    let connection = next(&mut incoming).await;
    assert_eq!(connection.remote_addr(), Some(speaking.local_addr().unwrap()));
}
