//! A client's side of TLS for those who speak plain text: what comes here goes on by TLS, with a
//! certificate, and what comes back comes back.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use shardstream::clock::Clock;
use shardstream::config::ClientTlsFiles;
use shardstream::tls::ClientTls;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// One, until it is dropped.
pub struct Relay {
    pub url: String,
    relaying: JoinHandle<()>,
}

impl Relay {
    /// To the server at this address, by these files.
    pub async fn start(server: SocketAddr, files: &ClientTlsFiles) -> Self {
        let now = Clock::system().now().wall;
        let tls = ClientTls::new(files, "127.0.0.1", now).await.expect("files of a client");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let relaying = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.expect("a connection");
                connections.spawn(relayed(near, server, tls.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { url, relaying }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.relaying.abort();
    }
}

async fn relayed(mut near: TcpStream, server: SocketAddr, tls: ClientTls) -> io::Result<()> {
    near.set_nodelay(true)?;
    let far = TcpStream::connect(server).await?;
    far.set_nodelay(true)?;
    copy_bidirectional(&mut near, &mut tls.connect(far).await?).await.map(drop)
}
