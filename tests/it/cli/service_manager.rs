//! What systemd is told by the program, as it would be: over the socket that it names.

use tokio::net::UnixDatagram;

use super::listening::{serve_with, upstream};
use crate::support::pki::text;
use crate::support::server::in_time;

/// The next message that is about more than life.
async fn told(manager: &UnixDatagram) -> String {
    loop {
        let message = next(manager).await;
        if !message.contains("WATCHDOG=1\n") {
            return message;
        }
    }
}

async fn next(manager: &UnixDatagram) -> String {
    let mut message = [0; 4_096];
    let length = in_time("a message", manager.recv(&mut message)).await.expect("received");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[tokio::test]
async fn systemd_hears_how_far_the_server_is_and_that_it_lives() {
    let upstream = upstream().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).expect("bound");
    let variables = [("NOTIFY_SOCKET", text(&path)), ("WATCHDOG_USEC", "200000".to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let flags = ["--listen=127.0.0.1:0", "--admin-listen=off"];
    let mut server = serve_with(&upstream, &flags, &variables).await;
    assert!(server.ready.contains(" ready grpc="), "{}", server.ready);
    assert_eq!(told(&manager).await, "READY=1\n");
    for _ in 0..3 {
        let lives = "STATUS=0 connections, 0 sessions, 0 shards read\nWATCHDOG=1\n";
        assert_eq!(next(&manager).await, lives);
    }
    server.signal("-HUP").await;
    let reloading = told(&manager).await;
    let now = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(now.trim_end().parse::<u64>().is_ok(), "{reloading}");
    assert_eq!(told(&manager).await, "READY=1\n");
    server.signal("-TERM").await;
    assert_eq!(told(&manager).await, "STOPPING=1\n");
    assert_eq!(server.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_manager_that_does_not_listen_changes_nothing() {
    let upstream = upstream().await;
    let variables = [("NOTIFY_SOCKET", "/nowhere/notify"), ("WATCHDOG_USEC", "soon")];
    let flags = ["--listen=127.0.0.1:0", "--admin-listen=off"];
    let mut server = serve_with(&upstream, &flags, &variables).await;
    assert!(server.ready.contains(" ready grpc="), "{}", server.ready);
    server.signal("-TERM").await;
    assert_eq!(server.ended().await.0, Some(0));
}
