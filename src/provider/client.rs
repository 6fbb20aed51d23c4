//! One HTTP client per provider: where calls go and what they carry.

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::body::{Body, Clock, MAX_ERROR_BODY};
use super::resolver::{Resolver, is_link_local_host};
use super::settings::{Format, ProviderBuildError, ProviderSettings};
use super::transport::{Response, Transport, Trust};
use super::{Fault, ProviderError, retry_after};
use crate::domain::ProviderId;
use crate::wire::UpstreamError;

/// Largest head of an answer, in bytes of names and values.
const MAX_HEAD: usize = 64 * 1024;
/// The version of Anthropic's API that the translation is written for.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// A connection pool with fixed headers towards one base URL.
#[derive(Debug)]
pub(super) struct Client {
    id: ProviderId,
    transport: Transport,
    headers: HeaderMap,
    base_url: String,
    /// Encoded, without the question mark.
    query: String,
    /// Where the format's usual calls go: read once, for reading a URL takes as long as a decision.
    usual: Option<Uri>,
}

impl Client {
    /// # Errors
    /// See [`super::build`].
    pub(super) fn new(settings: &ProviderSettings) -> Result<Self, ProviderBuildError> {
        Self::resolving_by(settings, Resolver::system(settings.allow_link_local))
    }

    /// # Errors
    /// See [`super::build`].
    pub(super) fn resolving_by(
        settings: &ProviderSettings,
        resolver: Resolver,
    ) -> Result<Self, ProviderBuildError> {
        let given = settings.base_url.as_deref().or(settings.format.default_base_url());
        let base_url = check_url(given.ok_or(ProviderBuildError::MissingBaseUrl)?)?;
        if !settings.allow_link_local && base_url.host_str().is_some_and(is_link_local_host) {
            return Err(ProviderBuildError::LinkLocal);
        }
        let trust = match &settings.ca_pem {
            _ if base_url.scheme() == "http" => Trust::Nobody,
            Some(pem) => Trust::Only(pem),
            None => Trust::System,
        };
        let transport = Transport::new(resolver, settings.connect_timeout, &trust)?;
        let headers = fixed_headers(settings)?;
        let query = encoded(&base_url, &settings.query);
        let base_url = base_url.as_str().trim_end_matches('/').to_owned();
        let mut client = Self { id: settings.id.clone(), transport, headers, base_url, query, usual: None };
        if let Some(path) = settings.format.path() {
            client.usual = client.uri(path).ok();
        }
        Ok(client)
    }

    /// Which upstream this is.
    pub(super) fn id(&self) -> &ProviderId {
        &self.id
    }

    /// # Errors
    /// When the path, which may hold a model's name, cannot be part of a URL.
    fn uri(&self, path: &str) -> Result<Uri, ProviderError> {
        // The parser of `url` escapes what it can.
        let url = Url::parse(&self.url(path)).ok();
        url.and_then(|url| url.as_str().parse().ok()).ok_or(ProviderError::Connect)
    }

    fn url(&self, path: &str) -> String {
        let joint = match (self.query.is_empty(), path.contains('?')) {
            (true, _) => "",
            (false, true) => "&",
            (false, false) => "?",
        };
        format!("{}/{path}{joint}{}", self.base_url, self.query)
    }

    /// Posts a JSON body and waits for the head of a 2xx answer.
    ///
    /// # Errors
    /// No connection, no head in time, another status.
    pub(super) async fn post(&self, post: Post, clock: &mut Clock) -> Result<Response, ProviderError> {
        let accept = if post.stream { "text/event-stream" } else { "application/json" };
        let to = match (post.path, &self.usual) {
            (None, Some(usual)) => usual.clone(),
            (path, _) => self.uri(&path.unwrap_or_default())?,
        };
        let mut request = Request::new(Full::new(Bytes::from(post.body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = to;
        request.headers_mut().clone_from(&self.headers);
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        let response = clock.limit(self.transport.send(request)).await??;
        check_head(&response)?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(read_failure(response, *clock).await)
    }
}

/// One call.
#[derive(Debug)]
pub(super) struct Post {
    /// Below the base URL, without a slash in front; `None`: where the format's calls always go.
    pub(super) path: Option<String>,
    /// JSON.
    pub(super) body: Vec<u8>,
    /// Whether an event stream is asked for.
    pub(super) stream: bool,
}

fn check_head(response: &Response) -> Result<(), ProviderError> {
    let size: usize = response.headers().iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
    if size > MAX_HEAD {
        let status = Some(response.status().as_u16());
        return Err(ProviderError::Malformed { fault: Fault::TooLarge, status });
    }
    Ok(())
}

async fn read_failure(response: Response, clock: Clock) -> ProviderError {
    let status = response.status().as_u16();
    let wait = retry_after::read(response.headers(), Timestamp::now());
    let body = Body::new(response, MAX_ERROR_BODY).read_error(clock).await;
    ProviderError::of_status(status, wait, UpstreamError::read(&body).unwrap_or_default())
}

fn encoded(base_url: &Url, query: &[(String, String)]) -> String {
    if query.is_empty() {
        return String::new();
    }
    let mut url = base_url.clone();
    url.query_pairs_mut().extend_pairs(query);
    url.query().unwrap_or_default().to_owned()
}

fn check_url(text: &str) -> Result<Url, ProviderBuildError> {
    let bad =
        || ProviderBuildError::BadBaseUrl { url: text.rsplit('@').next().unwrap_or_default().to_owned() };
    let url = Url::parse(text).map_err(|_| bad())?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if is_plain { Ok(url) } else { Err(bad()) }
}

fn fixed_headers(settings: &ProviderSettings) -> Result<HeaderMap, ProviderBuildError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("pointsman/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in &settings.headers {
        let bad = |why| ProviderBuildError::BadHeader { name: name.clone(), why };
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("it is no header name"))?;
        const OURS: [&str; 6] =
            ["accept-encoding", "connection", "content-length", "content-type", "host", "transfer-encoding"];
        if OURS.contains(&header.as_str()) {
            return Err(bad("it is set by the client itself"));
        }
        let mut value =
            HeaderValue::from_str(value).map_err(|_| bad("its value holds forbidden characters"))?;
        // It may be a key of a gateway in between.
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    if settings.format == Format::Anthropic {
        headers.entry("anthropic-version").or_insert(ANTHROPIC_VERSION);
    }
    if let Some(key) = &settings.api_key {
        let (name, value) = key_header(settings, key)?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn key_header(
    settings: &ProviderSettings,
    key: &SecretString,
) -> Result<(HeaderName, HeaderValue), ProviderBuildError> {
    let key = key.expose_secret();
    if let Some(name) = settings.auth_header.as_ref().filter(|name| *name != AUTHORIZATION.as_str()) {
        let bad = |_| ProviderBuildError::BadHeader { name: name.clone(), why: "it is no header name" };
        return Ok((HeaderName::from_bytes(name.as_bytes()).map_err(bad)?, secret(key)?));
    }
    if settings.auth_header.is_some() {
        return Ok((AUTHORIZATION, secret(&format!("Bearer {key}"))?));
    }
    let (name, text) = match settings.format {
        Format::OpenAi | Format::OpenAiCompatible | Format::Cohere => {
            (AUTHORIZATION, format!("Bearer {key}"))
        }
        Format::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
        Format::Gemini => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
    };
    Ok((name, secret(&text)?))
}

fn secret(text: &str) -> Result<HeaderValue, ProviderBuildError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| ProviderBuildError::BadKey)?;
    value.set_sensitive(true);
    Ok(value)
}
