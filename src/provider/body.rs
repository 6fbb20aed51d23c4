//! Reading bodies under timers and caps.

use std::io;
use std::time::Duration;

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt, TryStreamExt};
use http::header::CONTENT_ENCODING;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::io::{ReaderStream, StreamReader};

use super::transport::Response;
use super::{Fault, ProviderCall, ProviderError};

/// Largest whole answer, decompressed.
pub(super) const MAX_BODY: usize = 32 * 1024 * 1024;
/// Largest error answer that is read; the rest is not looked at.
pub(super) const MAX_ERROR_BODY: usize = 64 * 1024;
/// Largest stream in total, decompressed.
pub(super) const MAX_STREAM: usize = 256 * 1024 * 1024;

/// Bytes that count as progress even when no line ends.
const MUCH: usize = 4 * 1024;

/// The timers of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    first_byte_at: Instant,
    deadline: Instant,
    idle: Duration,
    /// Time that was waited, and bytes that came, since the last progress: the end of a line, or many bytes. One byte now and
    /// then is none. Time in which nobody waits, because the client reads slowly, does not count.
    waited: Duration,
    came: usize,
    /// Whether the answer has begun: then silence is measured, not the start.
    pub(super) has_begun: bool,
}

impl Clock {
    /// Starts the timers of `call` now.
    pub(super) fn start(call: &ProviderCall) -> Self {
        Self {
            first_byte_at: Instant::now() + call.timeouts.first_byte,
            deadline: call.deadline,
            idle: call.timeouts.idle,
            waited: Duration::ZERO,
            came: 0,
            has_begun: false,
        }
    }

    /// Waits for `work` no longer than the phase allows.
    ///
    /// # Errors
    /// The time-out of the phase.
    pub(super) async fn limit<T>(&mut self, work: impl Future<Output = T>) -> Result<T, ProviderError> {
        let now = Instant::now();
        let phase_end =
            if self.has_begun { now + self.idle.saturating_sub(self.waited) } else { self.first_byte_at };
        let at = phase_end.min(self.deadline);
        let result = tokio::time::timeout_at(at, work).await;
        self.waited += now.elapsed();
        result.map_err(|_| match () {
            () if at == self.deadline => ProviderError::TotalTimeout,
            () if self.has_begun => ProviderError::Idle,
            () => ProviderError::FirstByteTimeout,
        })
    }

    fn note(&mut self, piece: &[u8]) {
        self.came += piece.len();
        if self.came >= MUCH || piece.contains(&b'\n') || !self.has_begun {
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
    }
}

/// A body that is read piece by piece.
pub(super) struct Body {
    status: u16,
    pieces: Pieces,
    left: usize,
}

enum Pieces {
    Plain(Incoming),
    Unpacked(BoxStream<'static, io::Result<Bytes>>),
}

impl Body {
    pub(super) fn new(response: Response, max_bytes: usize) -> Self {
        let status = response.status().as_u16();
        let is_packed = response.headers().get(CONTENT_ENCODING).is_some_and(|v| v == "gzip");
        let body = response.into_body();
        let pieces = if is_packed { Pieces::Unpacked(unpacked(body)) } else { Pieces::Plain(body) };
        Self { status, pieces, left: max_bytes }
    }

    /// The next piece, `None` at the end.
    ///
    /// # Errors
    /// A time-out, a lost connection, bytes that cannot be decompressed, or more than the cap.
    pub(super) async fn next(&mut self, clock: &mut Clock) -> Result<Option<Bytes>, ProviderError> {
        let status = Some(self.status);
        let piece = clock.limit(self.pieces.next()).await?.map_err(|fault| match fault {
            Broken::Connection => ProviderError::Cut,
            Broken::Encoding => ProviderError::Malformed { fault: Fault::Encoding, status },
        })?;
        let Some(piece) = piece else { return Ok(None) };
        let too_large = ProviderError::Malformed { fault: Fault::TooLarge, status };
        clock.note(&piece);
        self.left = self.left.checked_sub(piece.len()).ok_or(too_large)?;
        Ok(Some(piece))
    }

    /// All of it.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub(super) async fn read_all(mut self, mut clock: Clock) -> Result<Bytes, ProviderError> {
        let mut all = BytesMut::new();
        while let Some(piece) = self.next(&mut clock).await? {
            clock.has_begun = true;
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// What there is of an error answer, up to the cap; whatever goes wrong here does not matter any more.
    pub(super) async fn read_error(mut self, mut clock: Clock) -> Bytes {
        let mut all = BytesMut::new();
        while let Ok(Some(piece)) = self.next(&mut clock).await {
            clock.has_begun = true;
            all.extend_from_slice(&piece);
        }
        all.freeze()
    }
}

/// What ended a body early.
enum Broken {
    Connection,
    Encoding,
}

impl Pieces {
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        let body = match self {
            Self::Unpacked(pieces) => return pieces.next().await.transpose().map_err(|e| of_unpacking(&e)),
            Self::Plain(body) => body,
        };
        while let Some(frame) = body.frame().await {
            // Trailers say nothing that is wanted.
            if let Ok(piece) = frame.map_err(|_| Broken::Connection)?.into_data() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

fn unpacked(body: Incoming) -> BoxStream<'static, io::Result<Bytes>> {
    let packed = TryStreamExt::map_err(body.into_data_stream(), io::Error::other);
    let mut decoder = GzipDecoder::new(StreamReader::new(packed));
    decoder.multiple_members(true);
    ReaderStream::new(decoder).boxed()
}

/// An end in the middle is the connection's fault, whoever notices it.
fn of_unpacking(error: &io::Error) -> Broken {
    let is_cut = error.get_ref().is_some_and(|inner| inner.is::<hyper::Error>());
    if is_cut || error.kind() == io::ErrorKind::UnexpectedEof { Broken::Connection } else { Broken::Encoding }
}
