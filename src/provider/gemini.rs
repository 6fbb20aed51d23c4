//! Google's Gemini, translated both ways.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use super::body::{Body, Clock, MAX_BODY};
use super::client::{Client, Post};
use super::{Provider, ProviderCall, ProviderError, Reply, stream};
use crate::domain::ProviderId;
use crate::wire::WireError;
use crate::wire::chat::ChatRequest;
use crate::wire::gemini::{GeminiReader, cannot_say, translate_reply, translate_request};

/// An upstream that speaks `generateContent`.
#[derive(Debug)]
pub(super) struct Gemini {
    client: Client,
}

impl Gemini {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Provider for Gemini {
    async fn complete(&self, call: &ProviderCall) -> Result<Reply, ProviderError> {
        let stream = call.request.stream();
        let body =
            translate_request(&call.request, call.max_output).map_err(ProviderError::Untranslatable)?;
        let mut clock = Clock::start(call);
        let created = Timestamp::now().as_second();
        // Answers of old models have no id; ours must have one, for feedback.
        let id = Uuid::now_v7().to_string();
        let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let path = Some(format!("models/{}:{verb}", call.model));
        let response = self.client.post(Post { path, body, stream }, &mut clock).await?;
        if stream {
            let reader = GeminiReader::new(created, call.model.as_str(), id);
            return Ok(Reply::Stream(stream::read(response, reader, clock)?));
        }
        let body = Body::new(response, MAX_BODY).read_all(clock).await?;
        let (body, facts) =
            translate_reply(&body, created, &call.model, &id).map_err(ProviderError::of_answer)?;
        Ok(Reply::Full { body: Bytes::from(body), facts, native: None })
    }

    fn cannot_say(&self, request: &ChatRequest) -> Option<WireError> {
        cannot_say(request)
    }

    fn id(&self) -> &ProviderId {
        self.client.id()
    }
}
