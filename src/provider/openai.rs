//! OpenAI, and everybody who speaks its format.

use async_trait::async_trait;

use super::body::{Body, Clock, MAX_BODY};
use super::client::{Client, Post};
use super::{Provider, ProviderCall, ProviderError, Reply, stream};
use crate::domain::ProviderId;
use crate::wire::WireError;
use crate::wire::chat::{ChatRequest, OpenAiReader, read_completion};

/// An upstream that speaks chat completions: bodies pass through.
#[derive(Debug)]
pub(super) struct OpenAi {
    client: Client,
    /// What a bound on the answer is called here.
    bound: &'static str,
    /// Where calls go, with `{model}` for the model's name; `None`: where they usually go.
    path: Option<String>,
}

impl OpenAi {
    pub(super) fn new(client: Client, bound: &'static str, path: Option<String>) -> Self {
        Self { client, bound, path }
    }

    fn path(&self, model: &str) -> Option<String> {
        self.path.as_ref().map(|path| path.replace("{model}", &encoded(model)))
    }
}

#[async_trait]
impl Provider for OpenAi {
    async fn complete(&self, call: &ProviderCall) -> Result<Reply, ProviderError> {
        if let Some(beyond) = self.cannot_say(&call.request) {
            return Err(ProviderError::Untranslatable(beyond));
        }
        let stream = call.request.stream();
        let mut clock = Clock::start(call);
        let body = call.request.openai_body(&call.model, self.bound);
        let post = Post { path: self.path(&call.model), body, stream };
        let response = self.client.post(post, &mut clock).await?;
        if stream {
            return Ok(Reply::Stream(stream::read(response, OpenAiReader::default(), clock)?));
        }
        let body = Body::new(response, MAX_BODY).read_all(clock).await?;
        let facts = read_completion(&body).map_err(ProviderError::of_answer)?;
        Ok(Reply::Full { body, facts, native: None })
    }

    fn cannot_say(&self, request: &ChatRequest) -> Option<WireError> {
        request.beyond_chat().cloned()
    }

    fn id(&self) -> &ProviderId {
        self.client.id()
    }
}

/// A name as one part of a path.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::with_capacity(name.len()), |out, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            out + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => out + &format!("%{byte:02X}"),
    })
}
