"""The official Anthropic SDK against the real binary, unchanged but for `base_url`: models of another format, and one of its own.

    .venv/bin/python tests/sdk/anthropic_sdk.py target/debug/pointsman

See openai_sdk.py.
"""

import json

import anthropic

from harness import TOOL, WORDS, refused, run

WEATHER = {"name": "weather", "description": "Looks the weather up.", "input_schema": TOOL["function"]["parameters"]}


def ask(client, model="auto", **more):
    messages = [{"role": "user", "content": "What is the weather like in Oslo?"}]
    return client.messages.create(model=model, max_tokens=100, messages=messages, **more)


def plain(client, base):
    answer = ask(client, system="Be short.", stop_sequences=["END"])
    assert (answer.content[0].text, answer.stop_reason) == ("".join(WORDS), "end_turn"), answer
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (12, 7)


def streaming(client, base):
    messages = [{"role": "user", "content": "What is the weather like in Oslo?"}]
    with client.messages.stream(model="auto", max_tokens=100, messages=messages) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == "".join(WORDS) and final.stop_reason == "end_turn" and final.usage.output_tokens == 7, final


def tools(client, base):
    answer = ask(client, tools=[WEATHER])
    call = next(block for block in answer.content if block.type == "tool_use")
    assert (call.id, call.name, call.input, answer.stop_reason) == ("call_7", "weather", {"city": "Oslo"}, "tool_use")
    history = [
        {"role": "user", "content": "What is the weather like in Oslo?"},
        {"role": "assistant", "content": answer.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}]},
    ]
    assert client.messages.create(model="auto", max_tokens=100, messages=history).content[0].text


def streamed_tools(client, base):
    messages = [{"role": "user", "content": "Oslo?"}]
    with client.messages.stream(model="auto", max_tokens=100, messages=messages, tools=[WEATHER]) as stream:
        final = stream.get_final_message()
    assert [b.input for b in final.content if b.type == "tool_use"] == [{"city": "Oslo"}], final


def headers_and_feedback(client, base):
    raw = client.messages.with_raw_response.create(
        model="auto", max_tokens=100, messages=[{"role": "user", "content": "Hello"}], extra_body={"pointsman": {"tags": {"by": "sdk"}}}
    )
    assert raw.headers["x-pointsman-route"] == "auto" and raw.headers["x-pointsman-model"].startswith("fake/")
    done = client.post("/feedback", body={"decision_id": raw.parse().id, "value": 0.9}, cast_to=object)
    assert done["applied"] is True


def its_own_format_passes_through(client, base):
    answer = ask(client, "claude/haiku", metadata={"user_id": "u"}, extra_body={"top_k": 5})
    sent = json.loads(answer.content[0].text)
    assert {"metadata", "top_k", "max_tokens", "messages", "model"} <= set(sent), sent
    assert answer.usage.cache_read_input_tokens == 4
    with client.messages.stream(model="claude/haiku", max_tokens=9, messages=[{"role": "user", "content": "Oslo?"}]) as stream:
        assert "messages" in "".join(stream.text_stream)


def counting(client, base):
    messages = [{"role": "user", "content": "What is the weather like in Oslo?"}]
    assert 3 < client.messages.count_tokens(model="auto", messages=messages).input_tokens < 40


def error_classes(client, base):
    stranger = anthropic.Anthropic(base_url=base, api_key="wrong", max_retries=0)
    for wanted, call in [
        (anthropic.AuthenticationError, lambda: ask(stranger)),
        (anthropic.NotFoundError, lambda: ask(client, "nobody")),
        (anthropic.APIStatusError, lambda: ask(client, extra_body={"pointsman": {"max_cost_usd": -1}})),
    ]:
        error = refused(wanted, call)
        assert error.body["type"] == "error" and error.body["error"]["message"], error.body


def thinking(client, base):
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
    blocks = ask(client, "claude/haiku", **more).content
    assert (blocks[0].thinking, blocks[0].signature) == ("Let me see.", "sig_9"), blocks
    messages = [{"role": "user", "content": "Oslo?"}]
    with client.messages.stream(model="claude/haiku", max_tokens=2000, messages=messages, tools=[WEATHER], **more) as stream:
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["thinking", "tool_use"] and final.content[0].signature == "sig_9", final
    assert final.stop_reason == "tool_use" and final.usage.output_tokens == 7


CHECKS = [
    plain, streaming, tools, streamed_tools, headers_and_feedback, its_own_format_passes_through, thinking, counting, error_classes,
]

run(lambda base, key: anthropic.Anthropic(base_url=base, api_key=key, max_retries=0), CHECKS)
