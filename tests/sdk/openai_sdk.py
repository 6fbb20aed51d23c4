"""The official OpenAI SDK against the real binary, unchanged but for `base_url`.

    python3 -m venv .venv && .venv/bin/pip install -r tests/sdk/requirements.txt
    cargo build && .venv/bin/python tests/sdk/openai_sdk.py target/debug/pointsman

Starts an upstream of its own and the service with a client key; ends with the line `N passed, N failed`.
"""

import json

import openai
from pydantic import BaseModel

from harness import TOOL, WORDS, run


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


def wrong_key(client, base):
    try:
        ask(openai.OpenAI(base_url=base + "/v1", api_key="wrong", max_retries=0))
    except openai.AuthenticationError as error:
        assert error.status_code == 401 and error.code == "unauthorized", error
    else:
        raise AssertionError("a wrong key was let in")


def error_classes(client, base):
    for wanted, call in [
        (openai.NotFoundError, lambda: ask(client, model="nobody")),
        (openai.UnprocessableEntityError, lambda: ask(client, max_tokens=-1)),
        (openai.UnprocessableEntityError, lambda: ask(client, extra_body={"pointsman": {"max_cost_usd": -1}})),
    ]:
        try:
            call()
        except wanted as error:
            assert error.code, error
        else:
            raise AssertionError(f"no {wanted}")


def feedback(client, base):
    answer = ask(client)
    done = client.post("/feedback", body={"decision_id": answer.id, "value": 0.9}, cast_to=object)
    assert done["applied"] is True and done["feedback_id"]
    decision = client.get(f"/decisions/{answer.id}", cast_to=object)
    assert decision["feedback"][0]["value"] == 0.9 and decision["completed"]["usage"]["output_tokens"] == 7


def models_and_embeddings(client, base):
    assert {"auto", "fake/large", "fake/small"} <= {m.id for m in client.models.list()}
    vectors = client.embeddings.create(model="pointsman/minilm", input=["one text", "another"]).data
    assert len(vectors) == 2 and len(vectors[0].embedding) == 384


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
        try:
            client.responses.create(model="auto", input="Oslo?", **more)
        except openai.UnprocessableEntityError as error:
            assert error.param in more, error
        else:
            raise AssertionError(f"{more} was taken")


def legacy_completions(client, base):
    assert client.completions.create(model="auto", prompt="Oslo?").choices[0].text == "".join(WORDS)
    pieces = [c.choices[0].text for c in client.completions.create(model="auto", prompt="Oslo?", stream=True) if c.choices]
    assert "".join(pieces) == "".join(WORDS)


CHECKS = [
    plain, streaming, streaming_with_usage, tools, streamed_tools, structured, auto_and_headers, explicit_model, wrong_key,
    error_classes, feedback, models_and_embeddings, responses, responses_streamed, responses_tools, responses_structured,
    responses_keep_nothing, legacy_completions,
]

run(lambda base, key: openai.OpenAI(base_url=base + "/v1", api_key=key, max_retries=0), CHECKS)
