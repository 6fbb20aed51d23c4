// The official OpenAI SDK for JavaScript against the real binary, unchanged but for `baseURL`.
//
//     cd tests/sdk/node && npm ci && cd - && tests/sdk/served.py target/debug/pointsman -- node tests/sdk/node/openai.mjs

import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { apiKey, ask, base, refused, run, sent, text } from "./check.mjs";

const client = new OpenAI({ baseURL: `${base}/v1`, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: ask }];
const Weather = z.object({ city: z.string(), sunny: z.boolean() });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = { type: "function", function: { name: "weather", description: "Looks the weather up.", parameters } };
const complete = (more) => client.chat.completions.create({ model: "auto", messages, ...more });

run({
  async plain() {
    const answer = await complete();
    assert.equal(answer.choices[0].message.content, text);
    assert.equal(answer.usage.total_tokens, 19);
  },

  async streaming() {
    let said = "";
    const usages = [];
    for await (const chunk of await complete({ stream: true, stream_options: { include_usage: true } })) {
      said += chunk.choices[0]?.delta.content ?? "";
      if (chunk.usage) usages.push(chunk);
    }
    assert.equal(said, text);
    assert.deepEqual(usages.map((c) => [c.usage.total_tokens, c.choices.length]), [[19, 0]]);
    assert(usages[0].pointsman.cost_usd > 0);
  },

  async leaving_a_stream() {
    const stream = await complete({ stream: true });
    for await (const _ of stream) break;
    assert(stream.controller.signal.aborted);
    assert.equal((await complete()).choices[0].message.content, text);
  },

  async tools() {
    const { message, finish_reason } = (await complete({ tools: [tool] })).choices[0];
    assert.equal(finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: "Oslo" });
    const result = { role: "tool", tool_call_id: message.tool_calls[0].id, content: "sunny" };
    const done = await complete({ tools: [tool], messages: [...messages, message, result] });
    assert.equal(done.choices[0].message.content, text);
  },

  async tools_run_by_the_sdk() {
    const asked = [];
    const runnable = { ...tool, function: { ...tool.function, parse: JSON.parse, function: (x) => (asked.push(x), "sunny") } };
    const runner = client.chat.completions.runTools({ model: "auto", messages, tools: [runnable], stream: true });
    assert.equal(await runner.finalContent(), text);
    assert.deepEqual(asked, [{ city: "Oslo" }]);
  },

  async parse() {
    const answer = await client.chat.completions.parse({ model: "auto", messages, response_format: zodResponseFormat(Weather, "weather") });
    assert.deepEqual(answer.choices[0].message.parsed, { city: "Oslo", sunny: true });
    assert.equal((await sent()).response_format.json_schema.name, "weather");
  },

  async headers() {
    const { data, response } = await complete({ pointsman: { tags: { feature: "sdk" } } }).withResponse();
    assert.equal(response.headers.get("x-pointsman-route"), "auto");
    assert.match(response.headers.get("x-pointsman-model"), /^fake\//);
    assert(Number(response.headers.get("x-pointsman-cost-usd")) > 0);
    assert.equal(data._request_id, response.headers.get("x-request-id"));
    const raw = await complete({ stream: true }).asResponse();
    assert(raw.headers.get("x-pointsman-decision-id") && raw.headers.get("content-type").startsWith("text/event-stream"));
    assert((await raw.text()).endsWith("data: [DONE]\n\n"));
  },

  async extra_fields() {
    await complete({ model: "fake/small", seed: 7, top_k: 5, pointsman: { tags: { a: "b" } } });
    const body = await sent();
    assert.deepEqual([body.seed, body.top_k, body.model, body.pointsman], [7, 5, "small", undefined]);
  },

  async errors() {
    const stranger = new OpenAI({ baseURL: `${base}/v1`, apiKey: "wrong", maxRetries: 0 });
    const wrong = (more) => () => complete(more);
    for (const [kind, code, call] of [
      [OpenAI.AuthenticationError, "unauthorized", () => stranger.chat.completions.create({ model: "auto", messages })],
      [OpenAI.NotFoundError, "model_not_found", wrong({ model: "nobody" })],
      [OpenAI.UnprocessableEntityError, "invalid_field", wrong({ max_tokens: -1 })],
      [OpenAI.RateLimitError, "rate_limited", wrong({ model: "fake/limited" })],
      [OpenAI.InternalServerError, "upstream_error", wrong({ model: "fake/broken" })],
    ]) {
      const error = await refused(kind, call);
      assert.equal(error.code, code);
      assert(error.requestID && error.type);
      if (kind === OpenAI.RateLimitError) assert(Number(error.headers.get("retry-after")) >= 1);
    }
  },

  async a_cut_stream_throws() {
    const stream = await complete({ model: "fake/cut", stream: true });
    let said = "";
    await refused(OpenAI.APIError, async () => {
      for await (const chunk of stream) said += chunk.choices[0].delta.content;
    });
    assert.equal(said, "Fine weather ");
  },

  async responses() {
    const answer = await client.responses.create({ model: "auto", input: ask, instructions: "Be short." });
    assert.equal(answer.output_text, text);
    assert.equal(answer.usage.output_tokens, 7);
    const done = await client.post("/feedback", { body: { decision_id: answer.id, value: 1 } });
    assert.equal(done.applied, true);
  },

  async responses_streamed() {
    const stream = client.responses.stream({ model: "auto", input: ask });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
    assert.equal((await stream.finalResponse()).output_text, text);
  },

  async responses_parse() {
    const answer = await client.responses.parse({ model: "auto", input: ask, text: { format: zodTextFormat(Weather, "weather") } });
    assert.deepEqual(answer.output_parsed, { city: "Oslo", sunny: true });
  },

  async models_and_embeddings() {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert(ids.includes("auto") && ids.includes("fake/small"));
    const { data } = await client.embeddings.create({ model: "pointsman/minilm", input: ["one text", "another"] });
    assert.deepEqual(data.map((v) => v.embedding.length), [384, 384]);
    assert(Math.abs(data[0].embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-3);
  },
});
