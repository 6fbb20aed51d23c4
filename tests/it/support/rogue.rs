//! An upstream on a bare socket: it can refuse, stall, cut, drip and lie in ways no HTTP library lets it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

/// What it does on a connection after it has read the request.
#[derive(Debug, Clone)]
pub enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends them in pieces of this length with a pause after each.
    Drip(Vec<u8>, usize, Duration),
    /// Says nothing for a while.
    Wait(Duration),
    /// Says nothing more until the other side closes.
    Stall,
    /// Resets the connection.
    Reset,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were read.
    pub asked: usize,
    /// Connections that the other side closed while something was still to be said.
    pub left: usize,
    /// Bytes that the other side's socket took.
    pub written: usize,
}

/// It plays one script per connection, the last one for ever.
#[derive(Clone)]
pub struct Rogue {
    pub base: String,
    scripts: Arc<Mutex<Vec<Vec<Act>>>>,
    counts: watch::Sender<Counts>,
}

impl Rogue {
    pub async fn start(script: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let rogue =
            Self { base, scripts: Arc::new(Mutex::new(vec![script])), counts: watch::Sender::default() };
        let playing = rogue.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(playing.clone().play(socket));
            }
        });
        rogue
    }

    /// From now on it plays these, one per connection, the last one for ever.
    pub fn plays(&self, scripts: Vec<Vec<Act>>) {
        *self.scripts.lock().unwrap() = scripts;
    }

    pub fn asked(&self) -> usize {
        self.counts.borrow().asked
    }

    pub fn written(&self) -> usize {
        self.counts.borrow().written
    }

    /// Waits until `n` requests were read.
    pub async fn until_asked(&self, n: usize) {
        self.counts.subscribe().wait_for(|c| c.asked >= n).await.unwrap();
    }

    /// Waits until the other side has left `n` connections.
    pub async fn until_left(&self, n: usize) {
        self.counts.subscribe().wait_for(|c| c.left >= n).await.unwrap();
    }

    async fn play(self, mut socket: TcpStream) {
        if read_request(&mut socket).await.is_none() {
            return;
        }
        let script = {
            let mut scripts = self.scripts.lock().unwrap();
            if scripts.len() > 1 { scripts.remove(0) } else { scripts[0].clone() }
        };
        self.counts.send_modify(|c| c.asked += 1);
        for act in script {
            let result = match act {
                Act::Send(bytes) => socket.write_all(&bytes).await,
                Act::Drip(bytes, length, pause) => self.drip(&mut socket, &bytes, length, pause).await,
                Act::Wait(time) => {
                    tokio::time::sleep(time).await;
                    Ok(())
                }
                Act::Stall => {
                    let _gone = socket.read(&mut [0; 64]).await;
                    Err(std::io::Error::other("left"))
                }
                Act::Reset => {
                    socket.set_zero_linger().unwrap();
                    return;
                }
            };
            if result.is_err() {
                self.counts.send_modify(|c| c.left += 1);
                return;
            }
        }
        let _closed = socket.shutdown().await;
    }

    async fn drip(
        &self,
        socket: &mut TcpStream,
        bytes: &[u8],
        length: usize,
        pause: Duration,
    ) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        for piece in bytes.chunks(length) {
            socket.write_all(piece).await?;
            self.counts.send_modify(|c| c.written += piece.len());
            if pause.is_zero() {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }
}

/// Where nobody listens.
pub async fn dead_base() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// Where connections are never accepted: the queue of the listener is full. It lasts as long as the second value.
pub async fn black_hole() -> (String, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    (format!("http://{address}"), waiting, listener)
}

async fn read_request(socket: &mut TcpStream) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = socket.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.to_ascii_lowercase().lines().find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return Some(());
        }
    }
}

/// A whole answer.
pub fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<Act> {
    let mut out = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| out.push_str(&format!("{name}: {value}\r\n")));
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    vec![Act::Send(out)]
}

/// A JSON answer.
pub fn json(status: u16, body: &str) -> Vec<Act> {
    response(status, &[("content-type", "application/json")], body.as_bytes())
}

/// An event stream of these `data` lines that ends with the connection.
pub fn events(data: &[&str]) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 X\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n".to_vec();
    data.iter().for_each(|d| out.extend_from_slice(format!("data: {d}\n\n").as_bytes()));
    out
}

/// A chunk with content.
pub fn text_chunk(text: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
    )
}

/// The first chunk: a role, no content.
pub const ROLE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
/// The chunk with the finish reason.
pub const STOP: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
/// The usage chunk.
pub const USAGE: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
/// A whole answer.
pub const COMPLETION: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
