//! What a provider is made from.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use super::Timeouts;
use crate::domain::ProviderId;

/// Which format an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// OpenAI itself.
    OpenAi,
    /// A server of the same format: vLLM, Ollama, OpenRouter, Mistral, Groq ...
    OpenAiCompatible,
    /// Anthropic's Messages.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
    /// Cohere's v2 chat.
    Cohere,
}

impl Format {
    /// The name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenAiCompatible => "openai-compatible",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::Cohere => "cohere",
        }
    }

    /// The format of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::OpenAi, Self::OpenAiCompatible, Self::Anthropic, Self::Gemini, Self::Cohere]
            .into_iter()
            .find(|f| f.as_str() == name)
    }

    /// Where calls go, below the base URL; `None`: it depends on the model.
    pub(super) fn path(self) -> Option<&'static str> {
        match self {
            Self::OpenAi | Self::OpenAiCompatible => Some("chat/completions"),
            Self::Anthropic => Some("messages"),
            Self::Cohere => Some("chat"),
            Self::Gemini => None,
        }
    }

    /// The vendor's own base URL, version included.
    pub fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com/v1"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta"),
            Self::Cohere => Some("https://api.cohere.com/v2"),
            Self::OpenAiCompatible => None,
        }
    }
}

/// A configured upstream. `Debug` does not show the key.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    /// Its name.
    pub id: ProviderId,
    /// What it speaks.
    pub format: Format,
    /// Where it is, with the version part (`https://host/v1`); `None`: the vendor's own.
    pub base_url: Option<String>,
    /// Its key; local servers have none.
    pub api_key: Option<SecretString>,
    /// Headers to add to each call, by configuration only.
    pub headers: Vec<(String, String)>,
    /// The header that carries the key; `None`: the format's own.
    pub auth_header: Option<String>,
    /// Where calls go below the base URL, with `{model}` for the model's name; `None`: the format's own path. Of OpenAI's format alone.
    pub path: Option<String>,
    /// Added to each call's URL.
    pub query: Vec<(String, String)>,
    /// Who may vouch for the server, PEM; `None`: the system's authorities.
    pub ca_pem: Option<Arc<[u8]>>,
    /// Whether link-local and metadata addresses may be called.
    pub allow_link_local: bool,
    /// To connect, name look-up and TLS included.
    pub connect_timeout: Duration,
}

impl ProviderSettings {
    /// The vendor's own base URL, no key, no extra headers, the usual time to connect.
    pub fn new(id: ProviderId, format: Format) -> Self {
        Self {
            id,
            format,
            base_url: None,
            api_key: None,
            headers: Vec::new(),
            auth_header: None,
            path: None,
            query: Vec::new(),
            ca_pem: None,
            allow_link_local: false,
            connect_timeout: Timeouts::default().connect,
        }
    }
}

/// Why a provider cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProviderBuildError {
    /// An `openai-compatible` server has no default.
    #[error(
        "base_url is missing: format openai-compatible has no default, give the server's URL with its version part"
    )]
    MissingBaseUrl,
    /// No http or https URL.
    #[error("base_url {url:?} is no http:// or https:// URL of a server")]
    BadBaseUrl {
        /// What was given, without credentials.
        url: String,
    },
    /// An address where no upstream is, and credentials may be.
    #[error("base_url leads to a link-local or metadata address; `allow_link_local = true` lets that pass")]
    LinkLocal,
    /// No certificate could be read.
    #[error("ca_file holds no certificate in PEM form")]
    BadAuthorities,
    /// A header name or value with forbidden characters, or one that is ours to set.
    #[error("header {name:?} cannot be sent: {why}")]
    BadHeader {
        /// Its name; the value may be a secret.
        name: String,
        /// The reason.
        why: &'static str,
    },
    /// The key has characters that no header can hold.
    #[error("the API key holds characters that no header can hold; look for a line break at its end")]
    BadKey,
    /// TLS could not be set up.
    #[error("cannot set up TLS: are the system's CA certificates installed?")]
    Tls(#[source] tokio_rustls::rustls::Error),
}
