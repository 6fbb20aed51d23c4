"""Clients that still want the OpenAI SDK 2.x: LlamaIndex's OpenAI-like model and instructor, against the real binary.

    .venv/bin/pip install -r tests/sdk/older.txt && .venv/bin/python tests/sdk/older_sdk.py target/debug/pointsman

See openai_sdk.py.
"""

import instructor
import openai
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai_like import OpenAILike

from harness import TOOL, WORDS, run, sent

TEXT = "".join(WORDS)
ASK = "What is the weather like in Oslo?"


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    sunny: bool


class Clients:
    def __init__(self, base, key):
        at = {"api_base": base + "/v1", "api_key": key, "max_retries": 0}
        self.llama = OpenAILike(model="auto", is_chat_model=True, is_function_calling_model=True, **at)
        self.completing = OpenAILike(model="auto", is_chat_model=False, **at)
        self.sdk = openai.OpenAI(base_url=base + "/v1", api_key=key, max_retries=0)


def llamaindex_chat(c, base):
    answer = c.llama.chat([ChatMessage(role="system", content="Be short."), ChatMessage(role="user", content=ASK)])
    assert answer.message.content == TEXT and answer.raw.usage.completion_tokens == 7, answer
    assert [m["role"] for m in sent()["messages"]] == ["system", "user"]


def llamaindex_stream(c, base):
    pieces = list(c.llama.stream_chat([ChatMessage(role="user", content=ASK)]))
    assert "".join(p.delta for p in pieces) == TEXT and pieces[-1].message.content == TEXT


def llamaindex_text(c, base):
    """Through the legacy /completions."""
    assert c.completing.complete(ASK).text == TEXT
    assert "".join(p.delta for p in c.completing.stream_complete(ASK)) == TEXT


def llamaindex_tools(c, base):
    def weather(city: str) -> str:
        """Looks the weather up."""
        return f"sunny in {city}"

    tool = FunctionTool.from_defaults(weather)
    calls = c.llama.get_tool_calls_from_response(c.llama.chat_with_tools([tool], user_msg=ASK))
    assert [(call.tool_id, call.tool_name, call.tool_kwargs) for call in calls] == [("call_7", "weather", {"city": "Oslo"})], calls
    answer = c.llama.predict_and_call([tool], user_msg=ASK)
    assert str(answer) == "sunny in Oslo", answer


def llamaindex_structured(c, base):
    answer = c.llama.as_structured_llm(Weather).complete(ASK)
    assert answer.raw == Weather(city="Oslo", sunny=True), answer


def instructor_modes(c, base):
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA):
        client = instructor.from_openai(c.sdk, mode=mode)
        messages = [{"role": "user", "content": ASK}]
        got, raw = client.chat.completions.create_with_completion(model="auto", response_model=Weather, messages=messages, max_retries=0)
        assert (got.city, got.sunny) == ("Oslo", True), (mode, got)
        assert raw.usage.total_tokens == 19 and ("tools" in sent()) == (mode is instructor.Mode.TOOLS), mode


def instructor_partial(c, base):
    client = instructor.from_openai(c.sdk, mode=instructor.Mode.TOOLS)
    stream = client.chat.completions.create_partial(model="auto", response_model=Weather, messages=[{"role": "user", "content": ASK}])
    *_, last = stream
    assert (last.city, last.sunny) == ("Oslo", True), last


def sdk_2(c, base):
    """The SDK itself, in its older major version."""
    answer = c.sdk.chat.completions.create(model="auto", messages=[{"role": "user", "content": ASK}], tools=[TOOL])
    assert answer.choices[0].message.tool_calls[0].id == "call_7"
    with c.sdk.responses.stream(model="auto", input=ASK) as stream:
        assert [event.type for event in stream][-1] == "response.completed"
        assert stream.get_final_response().output_text == TEXT


CHECKS = [
    llamaindex_chat, llamaindex_stream, llamaindex_text, llamaindex_tools, llamaindex_structured, instructor_modes,
    instructor_partial, sdk_2,
]

run(Clients, CHECKS)
