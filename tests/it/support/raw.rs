//! A client of HTTP/2 made of bytes: it does what no library would.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// What every client says first.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

/// The flag of a last frame of data, and that of an answered ping.
pub const END: u8 = 1;

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// The head of a call, its body to come.
pub fn head(stream: u32, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let more: Vec<_> = grpc.iter().chain(more).copied().collect();
    bare_head(stream, "POST", path, &more)
}

/// The head of any request; without more frames than this its body is to come.
pub fn bare_head(stream: u32, method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![];
    let pseudo =
        [(":method", method), (":scheme", "http"), (":path", path), (":authority", "server")];
    for (name, value) in pseudo.iter().chain(more) {
        // Literal, not indexed, a new name.
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127, "one byte of length");
            block.push(text.len() as u8);
            block.extend(text.as_bytes());
        }
    }
    // 4: the headers end here.
    frame(HEADERS, 4, stream, &block)
}

/// A message of gRPC.
pub fn message(bytes: &[u8]) -> Vec<u8> {
    [&[0], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// A connection.
pub struct Raw {
    pub socket: TcpStream,
}

/// A frame that came: its kind, its flags, its stream and its content.
pub type Frame = (u8, u8, u32, Vec<u8>);

impl Raw {
    /// Connects and says nothing.
    pub async fn connect(server: SocketAddr) -> Self {
        Self { socket: TcpStream::connect(server).await.expect("the server listens") }
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(from: [u8; 4], server: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((from, 0))).expect("all of 127.0.0.0/8 is here");
        Self { socket: socket.connect(server).await.expect("the server listens") }
    }

    /// Connects and begins HTTP/2, with these settings.
    pub async fn begin(server: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self::connect(server).await;
        raw.opening(settings).await;
        raw
    }

    /// Begins HTTP/2.
    pub async fn opening(&mut self, settings: &[(u16, u32)]) {
        let content: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        self.send(&[PREFACE, &frame(SETTINGS, 0, 0, &content)].concat()).await;
    }

    /// Sends bytes; the server may have closed.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    /// The next frame; `None` when the server closed, however. Answers settings and pings.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head).await.ok()?;
        let mut content = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        self.socket.read_exact(&mut content).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        if (head[3], head[4]) == (SETTINGS, 0) {
            self.send(&frame(SETTINGS, END, 0, &[])).await;
        }
        if (head[3], head[4]) == (PING, 0) {
            self.send(&frame(PING, END, 0, &content)).await;
        }
        Some((head[3], head[4], stream, content))
    }

    /// Reads on until a frame of this kind; `None` when the server closed before.
    pub async fn until(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.next().await? {
                frame if frame.0 == kind => return Some(frame),
                _ => {}
            }
        }
    }

    /// All that comes until the server closes.
    pub async fn rest(&mut self) -> Vec<Frame> {
        let mut all = vec![];
        while let Some(frame) = self.next().await {
            all.push(frame);
        }
        all
    }

    /// Whether the connection is in use still: a ping is answered, and nothing says goodbye before.
    pub async fn lives(&mut self) -> bool {
        self.send(&frame(PING, 0, 0, b"8 bytes!")).await;
        while let Some((kind, flags, ..)) = self.next().await {
            match (kind, flags) {
                (PING, END) => return true,
                (GOAWAY, _) => return false,
                // The server's own.
                (PING, _) => {}
                _ => {}
            }
        }
        false
    }
}
