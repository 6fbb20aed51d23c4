//! How a call ends when it is no answer.

use std::time::Duration;

use crate::domain::{AttemptEnd, CompletionEnd};
use crate::wire::{ChunkError, UpstreamError, WireError};

/// Why what came is no answer; never holds the upstream's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not JSON, not an event stream, no choices: not of the format.
    WrongShape,
    /// Not of the content type that was asked for.
    WrongContentType,
    /// Larger than we read.
    TooLarge,
    /// A redirect; not followed, because the key would travel.
    Redirect,
    /// Undecodable compression.
    Encoding,
}

impl Fault {
    /// In words, for logs and error messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WrongShape => "the answer has the wrong shape",
            Self::WrongContentType => "the answer has the wrong content type",
            Self::TooLarge => "the answer is too large",
            Self::Redirect => "the upstream redirects, which is not followed",
            Self::Encoding => "the answer cannot be decompressed",
        }
    }
}

/// Why there is no answer. None of the variants holds a secret; [`ProviderError::Credentials`] drops the upstream's text,
/// which may quote part of the key.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ProviderError {
    /// No connection: refused, reset, no such host, or TLS.
    #[error("cannot connect to the upstream")]
    Connect,
    /// No connection in the connect time.
    #[error("cannot connect to the upstream in time")]
    ConnectTimeout,
    /// The connection was lost, or the bytes ended without the end mark.
    #[error("the upstream's answer was cut off")]
    Cut,
    /// Connected, but no first byte (on a stream: no first content) in time.
    #[error("the upstream sent nothing in time")]
    FirstByteTimeout,
    /// The answer had begun and fell silent.
    #[error("the upstream fell silent")]
    Idle,
    /// The request's whole time is over.
    #[error("the time for the request is over")]
    TotalTimeout,
    /// 429.
    #[error("the upstream limits the rate")]
    RateLimited {
        /// How long it asks to wait, capped.
        retry_after: Option<Duration>,
        /// What it says.
        error: UpstreamError,
    },
    /// 5xx, 404, 408 or another status that is the upstream's affair.
    #[error("the upstream failed with status {status}")]
    Server {
        /// Its status.
        status: u16,
        /// How long it asks to wait, capped.
        retry_after: Option<Duration>,
        /// What it says.
        error: UpstreamError,
    },
    /// 400, 413 or 422: the request itself is refused.
    #[error("the upstream refuses the request: {}", .error.message)]
    BadRequest {
        /// Its status.
        status: u16,
        /// What it says; message and code are for the client.
        error: UpstreamError,
    },
    /// 401, 402 or 403: our key is refused.
    #[error("the upstream refuses our credentials with status {status}")]
    Credentials {
        /// Its status.
        status: u16,
    },
    /// What came is no answer of the format.
    #[error("{}", .fault.as_str())]
    Malformed {
        /// Which way.
        fault: Fault,
        /// Its status, when one came.
        status: Option<u16>,
    },
    /// The request cannot be said in the upstream's format; nothing was sent.
    #[error(transparent)]
    Untranslatable(WireError),
}

impl ProviderError {
    /// The error of a status other than 2xx.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>, error: UpstreamError) -> Self {
        match status {
            300..=399 => Self::Malformed { fault: Fault::Redirect, status: Some(status) },
            400 | 413 | 422 => Self::BadRequest { status, error },
            401..=403 => Self::Credentials { status },
            429 => Self::RateLimited { retry_after, error },
            _ => Self::Server { status, retry_after, error },
        }
    }

    /// The error of an answer that came with status 200 and is none.
    pub(super) fn of_answer(error: ChunkError) -> Self {
        match error {
            ChunkError::Malformed(_) => Self::Malformed { fault: Fault::WrongShape, status: Some(200) },
            ChunkError::Upstream(error) => Self::of_status(error.implied_status(), None, error),
        }
    }

    /// How the attempt goes into the log.
    pub fn attempt_end(&self) -> AttemptEnd {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::Cut => AttemptEnd::Connect,
            Self::FirstByteTimeout | Self::Idle => AttemptEnd::FirstByteTimeout,
            Self::TotalTimeout => AttemptEnd::TotalTimeout,
            Self::RateLimited { .. } => AttemptEnd::RateLimited,
            Self::Server { .. } => AttemptEnd::ServerError,
            Self::BadRequest { .. } | Self::Untranslatable(_) => AttemptEnd::BadRequest,
            Self::Credentials { .. } => AttemptEnd::Credentials,
            Self::Malformed { .. } => AttemptEnd::Malformed,
        }
    }

    /// How the completion ended, when the error came after the first content.
    pub fn completion_end(&self) -> CompletionEnd {
        match self {
            Self::Idle => CompletionEnd::UpstreamIdle,
            _ => CompletionEnd::UpstreamCut,
        }
    }

    /// The upstream's status, when one came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::RateLimited { .. } => Some(429),
            Self::Server { status, .. } | Self::BadRequest { status, .. } | Self::Credentials { status } => {
                Some(*status)
            }
            Self::Malformed { status, .. } => *status,
            _ => None,
        }
    }

    /// How long the upstream asks to wait, capped.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the upstream says, when it may be shown.
    pub fn upstream(&self) -> Option<&UpstreamError> {
        match self {
            Self::RateLimited { error, .. } | Self::Server { error, .. } | Self::BadRequest { error, .. } => {
                Some(error)
            }
            _ => None,
        }
    }

    /// Whether the input was too long for the model.
    pub fn is_context_length(&self) -> bool {
        matches!(self, Self::BadRequest { error, .. } if error.is_context_length())
    }
}
