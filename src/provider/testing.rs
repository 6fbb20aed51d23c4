//! A fake upstream on a bare socket, for tests: it can refuse, stall, cut, drip and lie in ways no HTTP library lets it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Format, Provider, ProviderCall, ProviderSettings, Timeouts};
use crate::domain::ProviderId;
use crate::wire::chat::ChatRequest;

/// What the fake does on each connection, after it has read the request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends them one by one.
    Drip(Vec<u8>),
    /// Says nothing more until the other side closes.
    Stall,
    /// Resets the connection.
    Reset,
}

/// A fake upstream; it ends with the runtime of the test.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
    closed: watch::Receiver<u32>,
}

impl Fake {
    /// Plays `acts` on every connection.
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tell_closed, closed) = watch::channel(0);
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acts, seen, tell_closed) = (acts.clone(), Arc::clone(&seen), tell_closed.clone());
                tokio::spawn(play(socket, acts, seen, tell_closed));
            }
        });
        Self { base_url, requests, closed }
    }

    /// Answers with one plain response.
    pub(crate) async fn answering(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::start(vec![Act::Send(response(status, headers, body))]).await
    }

    /// Answers with an event stream of these `data` lines, then closes.
    pub(crate) async fn streaming(data: &[&str]) -> Self {
        Self::start(vec![Act::Send(events(data))]).await
    }

    /// Heads and bodies that came so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Waits until a stalled connection was closed from the other side.
    pub(crate) async fn until_closed(&mut self) {
        self.closed.wait_for(|n| *n > 0).await.unwrap();
    }

    /// A provider that calls it.
    pub(crate) fn provider(&self, format: Format) -> Arc<dyn Provider> {
        provider_at(&self.base_url, format)
    }
}

/// A provider with key `sk-secret` at `base_url`.
pub(crate) fn provider_at(base_url: &str, format: Format) -> Arc<dyn Provider> {
    let mut settings = ProviderSettings::new(ProviderId::from("fake"), format);
    settings.base_url = Some(base_url.to_owned());
    settings.api_key = Some("sk-secret".to_owned().into());
    super::build(settings).unwrap()
}

/// A base URL where nobody listens.
pub(crate) async fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/v1", listener.local_addr().unwrap())
}

async fn play(
    mut socket: TcpStream,
    acts: Vec<Act>,
    seen: Arc<Mutex<Vec<String>>>,
    closed: watch::Sender<u32>,
) {
    let Some(request) = read_request(&mut socket).await else { return };
    seen.lock().unwrap().push(request);
    for act in acts {
        let result = match act {
            Act::Send(bytes) => socket.write_all(&bytes).await,
            Act::Drip(bytes) => drip(&mut socket, &bytes).await,
            Act::Stall => {
                // Reads zero bytes or fails once the other side is gone.
                let _ = socket.read(&mut [0; 64]).await;
                closed.send_modify(|n| *n += 1);
                return;
            }
            Act::Reset => {
                socket.set_zero_linger().unwrap();
                return;
            }
        };
        if result.is_err() {
            closed.send_modify(|n| *n += 1);
            return;
        }
    }
    let _ = socket.shutdown().await;
}

async fn drip(socket: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    socket.set_nodelay(true)?;
    for byte in bytes {
        socket.write_all(std::slice::from_ref(byte)).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
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
            return Some(text);
        }
    }
}

/// A whole HTTP response.
pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| out.push_str(&format!("{name}: {value}\r\n")));
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    out.extend_from_slice(body);
    out
}

/// The head of an event stream that ends with the connection.
pub(crate) fn stream_head() -> Vec<u8> {
    b"HTTP/1.1 200 X\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n".to_vec()
}

/// An event stream of these `data` lines.
pub(crate) fn events(data: &[&str]) -> Vec<u8> {
    let mut out = stream_head();
    data.iter().for_each(|d| out.extend_from_slice(format!("data: {d}\n\n").as_bytes()));
    out
}

/// A chunk with content.
pub(crate) fn text_chunk(text: &str) -> String {
    format!(
        r#"{{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
    )
}

/// The first chunk: a role, no content.
pub(crate) const ROLE_CHUNK: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
/// The chunk with the finish reason.
pub(crate) const STOP_CHUNK: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
/// The usage chunk.
pub(crate) const USAGE_CHUNK: &str = r#"{"id":"c1","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
/// A whole answer.
pub(crate) const COMPLETION: &str = r#"{"id":"c1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9,"cost":0.5}}"#;
/// A Messages answer.
pub(crate) const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[{"type":"text","text":"hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":2}}"#;

/// A plain request.
pub(crate) fn plain() -> Arc<ChatRequest> {
    Arc::new(ChatRequest::parse(br#"{"model":"auto","messages":[{"role":"user","content":"hi"}]}"#).unwrap())
}

/// A request for a stream.
pub(crate) fn streamed() -> Arc<ChatRequest> {
    let body = br#"{"model":"auto","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
    Arc::new(ChatRequest::parse(body).unwrap())
}

/// A call with the usual time-outs.
pub(crate) fn call(request: Arc<ChatRequest>) -> ProviderCall {
    call_within(request, Timeouts::default())
}

/// A call with these time-outs.
pub(crate) fn call_within(request: Arc<ChatRequest>, timeouts: Timeouts) -> ProviderCall {
    let deadline = tokio::time::Instant::now() + timeouts.total;
    ProviderCall { request, model: "m-1".to_owned(), max_output: None, timeouts, deadline }
}
