// The official Anthropic SDK for JavaScript against the real binary.
//
// See openai.mjs.

import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

import { apiKey, ask, base, refused, run, text } from "./check.mjs";

const client = new Anthropic({ baseURL: base, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: ask }];
const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = { name: "weather", description: "Looks the weather up.", input_schema };
const all = { model: "auto", max_tokens: 2000, messages };

run({
  async plain() {
    const answer = await client.messages.create(all);
    assert.deepEqual([answer.content[0].text, answer.stop_reason], [text, "end_turn"]);
    assert.deepEqual([answer.usage.input_tokens, answer.usage.output_tokens], [12, 7]);
  },

  async streaming() {
    const stream = client.messages.stream(all);
    let said = "";
    stream.on("text", (piece) => (said += piece));
    const final = await stream.finalMessage();
    assert.equal(said, text);
    assert.deepEqual([final.stop_reason, final.usage.output_tokens], ["end_turn", 7]);
  },

  async tools() {
    const answer = await client.messages.create({ ...all, tools: [weather] });
    const call = answer.content.find((block) => block.type === "tool_use");
    assert.deepEqual([call.input, answer.stop_reason], [{ city: "Oslo" }, "tool_use"]);
    const result = { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "sunny" }] };
    const history = [...messages, { role: "assistant", content: answer.content }, result];
    assert.equal((await client.messages.create({ ...all, tools: [weather], messages: history })).content[0].text, text);
    const streamed = await client.messages.stream({ ...all, tools: [weather] }).finalMessage();
    assert.deepEqual(streamed.content.find((block) => block.type === "tool_use").input, { city: "Oslo" });
  },

  async its_own_format() {
    const thinking = { type: "enabled", budget_tokens: 1024 };
    const final = await client.messages.stream({ ...all, model: "claude/haiku", thinking, tools: [weather] }).finalMessage();
    assert.deepEqual(final.content.map((block) => block.type), ["thinking", "tool_use"]);
    assert.equal(final.content[0].signature, "sig_9");
    assert.equal(final.usage.cache_read_input_tokens, 4);
  },

  async counting() {
    const { input_tokens } = await client.messages.countTokens({ model: "auto", messages });
    assert(input_tokens > 3 && input_tokens < 40);
  },

  async errors() {
    const stranger = new Anthropic({ baseURL: base, apiKey: "wrong", maxRetries: 0 });
    await refused(Anthropic.AuthenticationError, () => stranger.messages.create(all));
    const error = await refused(Anthropic.NotFoundError, () => client.messages.create({ ...all, model: "nobody" }));
    assert.equal(error.error.type, "error");
    assert(error.error.error.message.includes("nobody"));
    await refused(Anthropic.RateLimitError, () => client.messages.create({ ...all, model: "fake/limited" }));
  },
});
