//! As much HTTP/1.1 as a load needs, over one connection.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Nothing takes so long here; what does, hangs.
const HUNG: Duration = Duration::from_secs(60);

/// A connection with what was read and not used yet.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer. `whole` is false when the connection ended before it.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) whole: bool,
}

impl Answer {
    /// The value of a header whose name is given in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: load\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: load\r\n\r\n").into_bytes()
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let connecting = tokio::time::timeout(HUNG, TcpStream::connect(to));
        let stream = connecting.await.context("a connection was not accepted")??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::new() })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        let asked = async {
            self.send(request).await?;
            self.answer().await
        };
        tokio::time::timeout(HUNG, asked).await.context("an answer did not come in a minute")?
    }

    pub(crate) async fn send(&mut self, request: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(request).await?)
    }

    /// Waits for the first bytes of an answer and leaves them.
    pub(crate) async fn first_bytes(&mut self) -> anyhow::Result<()> {
        ensure!(self.more().await? > 0, "the connection ended before an answer");
        Ok(())
    }

    async fn more(&mut self) -> std::io::Result<usize> {
        self.stream.read_buf(&mut self.read).await
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end;
            }
            ensure!(self.more().await? > 0, "the connection ended before an answer");
        };
        let head = String::from_utf8_lossy(&self.read[..end + 2]).into_owned();
        self.read.drain(..end + 4);
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
        let mut answer = Answer { status, head, body: String::new(), whole: false };
        let length = answer.header("content-length").and_then(|l| l.parse::<usize>().ok());
        let (body, whole) = match length {
            Some(length) => self.sized(length).await?,
            None if answer.header("transfer-encoding") == Some("chunked") => self.chunked().await?,
            None => bail!("an answer without a length: {}", answer.head),
        };
        answer.body = String::from_utf8(body)?;
        answer.whole = whole;
        Ok(answer)
    }

    async fn sized(&mut self, length: usize) -> anyhow::Result<(Vec<u8>, bool)> {
        while self.read.len() < length {
            if self.more().await? == 0 {
                return Ok((std::mem::take(&mut self.read), false));
            }
        }
        Ok((self.read.drain(..length).collect(), true))
    }

    async fn chunked(&mut self) -> anyhow::Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        loop {
            let Some(line) = find(&self.read, b"\r\n") else {
                // A torn connection may also be reset.
                match self.more().await {
                    Ok(0) | Err(_) => return Ok((body, false)),
                    Ok(_) => continue,
                }
            };
            let size = usize::from_str_radix(std::str::from_utf8(&self.read[..line])?.trim(), 16)?;
            let end = line + 2 + size + 2;
            while self.read.len() < end {
                match self.more().await {
                    Ok(0) | Err(_) => return Ok((body, false)),
                    Ok(_) => {}
                }
            }
            body.extend_from_slice(&self.read[line + 2..end - 2]);
            self.read.drain(..end);
            if size == 0 {
                return Ok((body, true));
            }
        }
    }
}

/// Where `what` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
