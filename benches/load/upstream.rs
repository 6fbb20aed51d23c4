//! A provider in OpenAI's format that answers at once, or does what the prompt says: the number after `#` comes back in the answer, and the
//! word after it is the fault.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::http::find;

/// How long a slow answer takes, and a slow stream's second piece.
const SLOW: Duration = Duration::from_secs(20);

/// What it has seen.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) calls: AtomicU64,
    pub(crate) in_flight: AtomicI64,
    /// Calls whose caller went away in the middle.
    pub(crate) left: AtomicU64,
    /// Slow answers that were waited for.
    pub(crate) waited_for: AtomicU64,
    /// Requests that failed once and are answered when they come again.
    failed: Mutex<HashSet<u64>>,
}

/// Starts it on a thread of its own; each call takes `delay`.
pub(crate) fn start(delay: Duration) -> anyhow::Result<(SocketAddr, Arc<Counts>)> {
    let counts = Arc::new(Counts::default());
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let shared = Arc::clone(&counts);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || runtime.block_on(accept(listener, delay, shared)));
    Ok((address, counts))
}

async fn accept(listener: std::net::TcpListener, delay: Duration, counts: Arc<Counts>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            let _ = serve(stream, delay, &counts).await;
        });
    }
}

struct Call {
    number: u64,
    fault: String,
    is_stream: bool,
}

async fn serve(mut stream: TcpStream, delay: Duration, counts: &Counts) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    loop {
        let Some(body) = next_body(&mut stream, &mut read).await? else { return Ok(()) };
        let call = Call::read(&body)?;
        counts.calls.fetch_add(1, Relaxed);
        counts.in_flight.fetch_add(1, Relaxed);
        let done = call.answer(&mut stream, delay, counts).await;
        counts.in_flight.fetch_sub(1, Relaxed);
        if !done? {
            return Ok(());
        }
    }
}

async fn next_body(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = find(read, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.context("a call without a length")?.trim().parse()?;
            while read.len() < end + 4 + length {
                if stream.read_buf(read).await? == 0 {
                    return Ok(None);
                }
            }
            let body = read[end + 4..end + 4 + length].to_vec();
            read.drain(..end + 4 + length);
            return Ok(Some(body));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
}

impl Call {
    fn read(body: &[u8]) -> anyhow::Result<Self> {
        let body: serde_json::Value = serde_json::from_slice(body)?;
        let text = body["messages"][0]["content"].as_str().context("no text")?;
        let mut words = text.rsplit_once('#').context("no number")?.1.split(' ');
        Ok(Self {
            number: words.next().context("no number")?.parse()?,
            fault: words.next().unwrap_or_default().to_owned(),
            is_stream: body["stream"] == true,
        })
    }

    /// False: the connection is over.
    async fn answer(&self, stream: &mut TcpStream, delay: Duration, counts: &Counts) -> anyhow::Result<bool> {
        if !delay.is_zero() && waits(stream, delay).await {
            counts.left.fetch_add(1, Relaxed);
            return Ok(false);
        }
        match self.fault.as_str() {
            "limited" => {
                let body = r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
                write(stream, "429 Too Many Requests\r\nretry-after: 1", body).await?;
                return Ok(true);
            }
            "500" if self.fails(counts) => {
                let body =
                    r#"{"error":{"message":"out of order","type":"server_error","param":null,"code":null}}"#;
                write(stream, "500 Internal Server Error", body).await?;
                return Ok(true);
            }
            "reset" if self.fails(counts) => return Ok(false),
            _ => {}
        }
        if self.is_stream {
            return self.stream(stream, counts).await;
        }
        if self.fault == "slow" && self.left_while_slow(stream, counts).await {
            return Ok(false);
        }
        let n = self.number;
        let body = format!(
            r#"{{"id":"chatcmpl-{n}","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"the answer to {n}."}},"finish_reason":"stop","logprobs":null}}],"usage":{{"prompt_tokens":20,"completion_tokens":8,"total_tokens":28}}}}"#
        );
        write(stream, "200 OK", &body).await?;
        Ok(true)
    }

    fn fails(&self, counts: &Counts) -> bool {
        let Ok(mut failed) = counts.failed.lock() else { return false };
        let is_first = failed.insert(self.number);
        if !is_first {
            failed.remove(&self.number);
        }
        is_first
    }

    async fn left_while_slow(&self, stream: &TcpStream, counts: &Counts) -> bool {
        let left = waits(stream, SLOW).await;
        if left { &counts.left } else { &counts.waited_for }.fetch_add(1, Relaxed);
        left
    }

    async fn stream(&self, stream: &mut TcpStream, counts: &Counts) -> anyhow::Result<bool> {
        let n = self.number;
        let piece = |delta: &str, end: &str| {
            let data = format!(
                r#"{{"id":"chatcmpl-{n}","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{delta},"finish_reason":{end}}}]}}"#
            );
            chunk(&data)
        };
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .await?;
        let first = piece(r#"{"role":"assistant","content":"the answer "}"#, "null");
        stream.write_all(first.as_bytes()).await?;
        if self.fault == "cut" {
            return Ok(false);
        }
        if self.fault == "slow" && self.left_while_slow(stream, counts).await {
            return Ok(false);
        }
        let mut rest: String = ["to ", &n.to_string(), "."]
            .iter()
            .map(|word| piece(&format!(r#"{{"content":"{word}"}}"#), "null"))
            .collect();
        rest += &piece("{}", r#""stop""#);
        rest += &chunk(&format!(
            r#"{{"id":"chatcmpl-{n}","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{{"prompt_tokens":20,"completion_tokens":8,"total_tokens":28}}}}"#
        ));
        rest += &chunk("[DONE]");
        rest += "0\r\n\r\n";
        stream.write_all(rest.as_bytes()).await?;
        Ok(true)
    }
}

/// Whether the caller goes away within `time`. A caller that waits sends nothing, so that readable means gone.
async fn waits(stream: &TcpStream, time: Duration) -> bool {
    tokio::time::timeout(time, stream.readable()).await.is_ok()
}

fn chunk(data: &str) -> String {
    let event = format!("data: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len())
}

async fn write(stream: &mut TcpStream, status: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(answer.as_bytes()).await
}
