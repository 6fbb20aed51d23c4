//! Anthropic's Messages, translated both ways.

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;

use super::body::{Body, Clock, MAX_BODY};
use super::client::{Client, Post};
use super::{Provider, ProviderCall, ProviderError, Reply, stream};
use crate::domain::ProviderId;
use crate::wire::anthropic::{AnthropicReader, translate_reply, translate_request};

/// An upstream that speaks Messages.
#[derive(Debug)]
pub(super) struct Anthropic {
    client: Client,
}

impl Anthropic {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Provider for Anthropic {
    async fn complete(&self, call: &ProviderCall) -> Result<Reply, ProviderError> {
        let stream = call.request.stream();
        let body = translate_request(&call.request, &call.model, call.max_output)
            .map_err(ProviderError::Untranslatable)?;
        let mut clock = Clock::start(call);
        let created = Timestamp::now().as_second();
        let response = self.client.post(Post { path: "messages", body, stream }, &mut clock).await?;
        if stream {
            return Ok(Reply::Stream(stream::read(response, AnthropicReader::new(created), clock)?));
        }
        let body = Body::new(response, MAX_BODY).read_all(clock).await?;
        let (body, facts) = translate_reply(&body, created).map_err(ProviderError::of_answer)?;
        Ok(Reply::Full { body: Bytes::from(body), facts })
    }

    fn id(&self) -> &ProviderId {
        self.client.id()
    }
}
