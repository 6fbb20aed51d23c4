// Vercel's AI SDK against the real binary, through its OpenAI (Responses and chat), OpenAI-compatible and Anthropic providers.
//
// See openai.mjs.

import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

globalThis.AI_SDK_LOG_WARNINGS = false;

import { apiKey, ask, base, refused, run, sent, text } from "./check.mjs";

const baseURL = `${base}/v1`;
const openai = createOpenAI({ baseURL, apiKey });
const compatible = createOpenAICompatible({ name: "pointsman", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const anthropic = createAnthropic({ baseURL, apiKey });
// The service keeps no answers, so that a tool's loop has to send them along: `store: false`.
const providerOptions = { openai: { store: false } };
const models = {
  responses: openai("auto"),
  chat: openai.chat("auto"),
  compatible: compatible("auto"),
  anthropic: anthropic("auto"),
};
const schema = z.object({ city: z.string(), sunny: z.boolean() });
const maxRetries = 0;

const checks = {
  async errors() {
    for (const model of [openai.chat("nobody"), anthropic("nobody")]) {
      const error = await refused(APICallError, () => generateText({ model, prompt: ask, maxRetries }));
      assert.equal(error.statusCode, 404);
      assert.match(error.message, /nobody/);
      assert.equal(error.isRetryable, false);
    }
  },

  async a_cut_stream_is_an_error() {
    const answer = streamText({ model: compatible("fake/cut"), prompt: ask, maxRetries, onError() {} });
    let said = "";
    let failure;
    try {
      for await (const part of answer.fullStream) {
        if (part.type === "text-delta") said += part.text;
        if (part.type === "error") failure = part.error;
        assert(!(part.type === "finish" && part.finishReason === "stop"), "half an answer passed for a whole one");
      }
    } catch (error) {
      failure ??= error;
    }
    // The error event, or the torn connection when that is noticed first.
    assert(APICallError.isInstance(failure) || failure?.code === "upstream_error" || /failed/.test(failure?.message), JSON.stringify(failure));
    assert(text.startsWith(said) && said !== text, said);
  },

  async extra_fields_and_headers() {
    const model = compatible("fake/small");
    const answer = await generateText({ model, prompt: ask, providerOptions: { pointsman: { top_k: 5, pointsman: { tags: { a: "b" } } } } });
    const body = await sent();
    assert.deepEqual([body.top_k, body.pointsman, body.model], [5, undefined, "small"]);
    assert.equal(answer.response.headers["x-pointsman-reason"], "explicit");
  },

  async thinking_keeps_its_signature() {
    const model = anthropic("claude/thinker");
    const answer = await generateText({ model, messages: [{ role: "user", content: ask }], tools: { weather: weather([]) }, stopWhen: stepCountIs(2) });
    assert.equal(answer.steps[0].reasoningText, "Let me see.");
    const [, turn] = (await sent()).messages;
    assert.deepEqual(turn.content[0], { type: "thinking", thinking: "Let me see.", signature: "sig_9" });
  },

  async embeddings() {
    const { embeddings } = await embedMany({ model: compatible.textEmbeddingModel("pointsman/minilm"), values: ["one text", "another"] });
    assert.deepEqual(embeddings.map((e) => e.length), [384, 384]);
  },
};

function weather(asked) {
  return tool({
    description: "Looks the weather up.",
    inputSchema: z.object({ city: z.string() }),
    execute: async (input) => (asked.push(input), "sunny"),
  });
}

function same(usage) {
  assert.deepEqual([usage.inputTokens, usage.outputTokens], [12, 7]);
}

for (const [name, model] of Object.entries(models)) {
  const all = { model, maxRetries, providerOptions };
  checks[`${name}_generate_text`] = async () => {
    const answer = await generateText({ ...all, prompt: ask, system: "Be short." });
    assert.equal(answer.text, text);
    assert.equal(answer.finishReason, "stop");
    same(answer.usage);
  };
  checks[`${name}_stream_text`] = async () => {
    const answer = streamText({ ...all, prompt: ask });
    let said = "";
    for await (const piece of answer.textStream) said += piece;
    assert.equal(said, text);
    assert.equal(await answer.finishReason, "stop");
    same(await answer.usage);
  };
  checks[`${name}_generate_object`] = async () => {
    const { object } = await generateObject({ ...all, prompt: ask, schema });
    assert.deepEqual(object, { city: "Oslo", sunny: true });
  };
  checks[`${name}_stream_object`] = async () => {
    const answer = streamObject({ ...all, prompt: ask, schema });
    for await (const _ of answer.partialObjectStream);
    assert.deepEqual(await answer.object, { city: "Oslo", sunny: true });
  };
  checks[`${name}_tools`] = async () => {
    const asked = [];
    const answer = await generateText({ ...all, prompt: ask, tools: { weather: weather(asked) }, stopWhen: stepCountIs(3) });
    assert.deepEqual(asked, [{ city: "Oslo" }]);
    assert.equal(answer.steps.length, 2);
    assert.equal(answer.text, text);
  };
  checks[`${name}_streamed_tools`] = async () => {
    const asked = [];
    const answer = streamText({ ...all, prompt: ask, tools: { weather: weather(asked) }, stopWhen: stepCountIs(3) });
    for await (const _ of answer.textStream);
    assert.deepEqual(asked, [{ city: "Oslo" }]);
    assert.equal(await answer.text, text);
  };
}

run(checks);
