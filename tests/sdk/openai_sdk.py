"""The official OpenAI SDK against the real binary, unchanged but for `base_url`.

    python3 -m venv .venv && .venv/bin/pip install -r tests/sdk/requirements.txt
    cargo build && .venv/bin/python tests/sdk/openai_sdk.py target/debug/pointsman

Starts an upstream of its own and the service with a client key; ends with the line `N passed, N failed`.
"""

import json

import openai
from pydantic import BaseModel

from harness import TOOL, WORDS, refused, run, sent


def ask(client, model="auto", **more):
    messages = [{"role": "user", "content": "What is the weather like in Oslo?"}]
    return client.chat.completions.create(model=model, messages=messages, **more)


def plain(client, base):
    answer = ask(client)
    assert answer.choices[0].message.content == "".join(WORDS), answer
    assert answer.model in ("large", "small") and answer.usage.total_tokens == 19


def streaming(client, base):
    chunks = list(ask(client, stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "".join(WORDS), text
    assert chunks[-1].choices[0].finish_reason == "stop"


def streaming_with_usage(client, base):
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    usages = [c.usage for c in chunks if c.usage]
    assert [u.total_tokens for u in usages] == [19] and chunks[-1].choices == []
    assert chunks[-1].pointsman["cost_usd"] > 0


def tools(client, base):
    answer = ask(client, tools=[TOOL], tool_choice="auto")
    call = answer.choices[0].message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == ("call_7", "weather", {"city": "Oslo"})
    follow = [
        {"role": "user", "content": "What is the weather like in Oslo?"},
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    assert client.chat.completions.create(model="auto", messages=follow).choices[0].message.content


def auto_and_headers(client, base):
    raw = client.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "Hello"}], extra_body={"pointsman": {"tags": {"feature": "sdk"}}}
    )
    assert raw.headers["x-pointsman-route"] == "auto" and raw.headers["x-pointsman-reason"] in ("greedy", "explore")
    assert raw.headers["x-pointsman-model"].startswith("fake/") and float(raw.headers["x-pointsman-cost-usd"]) > 0
    assert raw.parse().choices[0].finish_reason == "stop"


def explicit_model(client, base):
    raw = client.chat.completions.with_raw_response.create(model="fake/small", messages=[{"role": "user", "content": "Hello"}])
    assert (raw.headers["x-pointsman-model"], raw.headers["x-pointsman-reason"]) == ("fake/small", "explicit")


def raw_headers_of_streams(client, base):
    messages = [{"role": "user", "content": "Hello"}]
    with client.chat.completions.with_streaming_response.create(
        model="auto", messages=messages, stream=True, extra_headers={"x-request-id": "mine-1"}
    ) as raw:
        assert raw.headers["x-request-id"] == "mine-1" and raw.headers["x-pointsman-decision-id"]
        assert raw.headers["content-type"].startswith("text/event-stream") and list(raw.iter_lines())[-2:] == ["data: [DONE]", ""]


def extra_fields_reach_the_model(client, base):
    ask(client, "fake/small", seed=7, extra_body={"top_k": 5, "pointsman": {"tags": {"a": "b"}}}, logit_bias={"11": -100})
    body = sent()
    assert (body["seed"], body["top_k"], body["logit_bias"], body["model"]) == (7, 5, {"11": -100}, "small"), body
    assert "pointsman" not in body


def errors(client, base):
    stranger = openai.OpenAI(base_url=base + "/v1", api_key="wrong", max_retries=0)
    for wanted, code, call in [
        (openai.AuthenticationError, "unauthorized", lambda: ask(stranger)),
        (openai.NotFoundError, "model_not_found", lambda: ask(client, "nobody")),
        (openai.UnprocessableEntityError, "invalid_field", lambda: ask(client, max_tokens=-1)),
        (openai.UnprocessableEntityError, "invalid_field", lambda: ask(client, extra_body={"pointsman": {"max_cost_usd": -1}})),
        (openai.BadRequestError, "bad_request", lambda: client.post("/chat/completions", body=[], cast_to=object)),
        (openai.RateLimitError, "rate_limited", lambda: ask(client, "fake/limited")),
        (openai.InternalServerError, "upstream_error", lambda: ask(client, "fake/broken")),
    ]:
        error = refused(wanted, call)
        assert error.code == code and error.request_id and error.body["message"], (error, error.code)
        if wanted is openai.RateLimitError:
            assert error.response.headers["retry-after"] == "7", error.response.headers
        if wanted is openai.InternalServerError:
            assert error.response.headers["x-should-retry"] == "false", error.response.headers


def a_cut_stream_raises(client, base):
    texts = []

    def read():
        for chunk in ask(client, "fake/cut", stream=True):
            texts.append(chunk.choices[0].delta.content)
            assert chunk.choices[0].finish_reason is None

    refused(openai.APIError, read)
    assert "".join(texts) == "".join(WORDS[:2]), texts


def a_model_of_another_format(client, base):
    """Thinking with its signature, tools and usage of Anthropic's format, and the signature back again."""
    more = {"tools": [TOOL], "max_tokens": 4000}
    answer = ask(client, "claude/thinker", **more)
    message = answer.choices[0].message
    assert message.tool_calls[0].id == "toolu_7" and answer.choices[0].finish_reason == "tool_calls", answer
    assert answer.usage.prompt_tokens_details.cached_tokens == 4
    assert message.thinking_blocks[0]["signature"] == "sig_9" and message.reasoning_content == "Let me see.", message
    follow = [
        {"role": "user", "content": "Oslo?"},
        message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": "toolu_7", "content": "sunny"},
    ]
    done = client.chat.completions.create(model="claude/thinker", messages=follow, **more)
    assert done.choices[0].finish_reason == "stop"
    turns = sent()["messages"]
    assert turns[1]["content"][0] == {"type": "thinking", "thinking": "Let me see.", "signature": "sig_9"}, turns
    assert turns[2]["content"][0]["tool_use_id"] == "toolu_7"


def feedback(client, base):
    answer = ask(client)
    done = client.post("/feedback", body={"decision_id": answer.id, "value": 0.9}, cast_to=object)
    assert done["applied"] is True and done["feedback_id"]
    decision = client.get(f"/decisions/{answer.id}", cast_to=object)
    assert decision["feedback"][0]["value"] == 0.9 and decision["completed"]["usage"]["output_tokens"] == 7


def models_and_embeddings(client, base):
    assert {"auto", "fake/large", "fake/small"} <= {m.id for m in client.models.list()}
    answer = client.embeddings.create(model="pointsman/minilm", input=["one text", "another"])
    assert [len(v.embedding) for v in answer.data] == [384, 384] and answer.data[0].embedding != answer.data[1].embedding
    assert answer.usage.prompt_tokens > 2
    # The SDK asks for base64 by itself; as numbers they are the same.
    numbers = client.embeddings.create(model="pointsman/minilm", input="one text", encoding_format="float").data[0].embedding
    assert max(abs(a - b) for a, b in zip(numbers, answer.data[0].embedding)) < 1e-6


class Weather(BaseModel):
    city: str
    sunny: bool


def structured(client, base):
    messages = [{"role": "user", "content": "What is the weather like in Oslo?"}]
    answer = client.chat.completions.parse(model="auto", messages=messages, response_format=Weather)
    assert answer.choices[0].message.parsed == Weather(city="Oslo", sunny=True)


def streamed_tools(client, base):
    with client.chat.completions.stream(model="auto", messages=[{"role": "user", "content": "Oslo?"}], tools=[TOOL]) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Oslo"}


def responses(client, base):
    answer = client.responses.create(model="auto", input="What is the weather like in Oslo?", instructions="Be short.")
    assert answer.output_text == "".join(WORDS) and answer.status == "completed" and answer.usage.output_tokens == 7
    done = client.post("/feedback", body={"decision_id": answer.id, "value": 1}, cast_to=object)
    assert done["applied"] is True


def responses_streamed(client, base):
    with client.responses.stream(model="auto", input="Oslo?") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    assert final.output_text == "".join(WORDS)


def responses_tools(client, base):
    tool = {"type": "function", "strict": False, **{k: TOOL["function"][k] for k in ("name", "description", "parameters")}}
    answer = client.responses.create(model="auto", input="Oslo?", tools=[tool])
    call = next(item for item in answer.output if item.type == "function_call")
    assert json.loads(call.arguments) == {"city": "Oslo"}
    history = [{"role": "user", "content": "Oslo?"}, call, {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}]
    assert client.responses.create(model="auto", input=history).output_text


def responses_structured(client, base):
    answer = client.responses.parse(model="auto", input="Oslo?", text_format=Weather)
    assert answer.output_parsed == Weather(city="Oslo", sunny=True)


def responses_keep_nothing(client, base):
    for more in ({"store": True}, {"previous_response_id": "resp_1"}):
        error = refused(openai.UnprocessableEntityError, lambda: client.responses.create(model="auto", input="Oslo?", **more))
        assert error.param in more, error


def legacy_completions(client, base):
    assert client.completions.create(model="auto", prompt="Oslo?").choices[0].text == "".join(WORDS)
    pieces = [c.choices[0].text for c in client.completions.create(model="auto", prompt="Oslo?", stream=True) if c.choices]
    assert "".join(pieces) == "".join(WORDS)


CHECKS = [
    plain, streaming, streaming_with_usage, tools, streamed_tools, structured, auto_and_headers, raw_headers_of_streams,
    extra_fields_reach_the_model, explicit_model, errors, a_cut_stream_raises, a_model_of_another_format, feedback,
    models_and_embeddings, responses, responses_streamed, responses_tools, responses_structured, responses_keep_nothing,
    legacy_completions,
]

run(lambda base, key: openai.OpenAI(base_url=base + "/v1", api_key=key, max_retries=0), CHECKS)
