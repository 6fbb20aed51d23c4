"""LangChain and LiteLLM, as their users have them, against the real binary: addresses and keys changed, nothing else.

    .venv/bin/python tests/sdk/frameworks.py target/debug/pointsman

See openai_sdk.py. LlamaIndex and instructor want an older OpenAI SDK: they are in older_sdk.py.
"""

import json
import os

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price list comes with it; without this it looks on the network for another

import litellm
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from harness import TOOL, WORDS, refused, run, sent

litellm.suppress_debug_info = True
TEXT = "".join(WORDS)
ASK = "What is the weather like in Oslo?"


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    sunny: bool


@tool
def weather(city: str) -> str:
    """Looks the weather up."""
    return f"sunny in {city}"


class Clients:
    def __init__(self, base, key):
        self.openai = self.chat(base, key)
        self.responses = self.chat(base, key, use_responses_api=True, store=False)
        self.anthropic = self.messages(base, key)
        self.claude = self.messages(base, key, model="claude/haiku")
        self.embeddings = OpenAIEmbeddings(
            model="pointsman/minilm", base_url=base + "/v1", api_key=key, check_embedding_ctx_length=False
        )
        self.base, self.key = base, key

    def chat(self, base, key, **more):
        more = {"model": "auto", "stream_usage": True, "max_retries": 0, **more}
        return ChatOpenAI(base_url=base + "/v1", api_key=key, **more)

    def messages(self, base, key, **more):
        more = {"model": "auto", "max_tokens": 200, "max_retries": 0, **more}
        return ChatAnthropic(base_url=base, api_key=key, **more)

    def litellm(self, model="auto", **more):
        """`openai/NAME` and `anthropic/NAME` are how LiteLLM says which format an address speaks."""
        more = {"messages": [{"role": "user", "content": ASK}], **more}
        base = self.base if model.startswith("anthropic/") else self.base + "/v1"
        return litellm.completion(model=model, api_base=base, api_key=self.key, num_retries=0, **more)


def usage(message):
    return message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]


def langchain_openai_invoke(c, base):
    answer = c.openai.invoke(ASK)
    assert answer.content == TEXT and usage(answer) == (12, 7), answer
    assert answer.response_metadata["model_name"] in ("large", "small") and answer.response_metadata["finish_reason"] == "stop"


def langchain_openai_stream_counts_usage_once(c, base):
    pieces = list(c.openai.stream(ASK))
    whole = sum(pieces[1:], pieces[0])
    assert whole.content == TEXT and usage(whole) == (12, 7), whole
    assert len([p for p in pieces if p.content]) == len(WORDS)


def loop(model, call_id):
    """A tool's loop: call, result, text."""
    bound, history = model.bind_tools([weather]), [HumanMessage(ASK)]
    answer = bound.invoke(history)
    call = answer.tool_calls[0]
    assert (call["name"], call["args"], call["id"]) == ("weather", {"city": "Oslo"}, call_id), answer
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage) and result.content == "sunny in Oslo"
    done = bound.invoke([*history, answer, result])
    assert not done.tool_calls and done.text, done
    return done


def langchain_openai_tools(c, base):
    assert loop(c.openai, "call_7").text == TEXT
    body = sent()
    assert [m["role"] for m in body["messages"]] == ["user", "assistant", "tool"] and body["messages"][2]["content"] == "sunny in Oslo"
    pieces = list(c.openai.bind_tools([weather]).stream(ASK))
    assert sum(pieces[1:], pieces[0]).tool_calls[0]["args"] == {"city": "Oslo"}


def langchain_openai_structured(c, base):
    for method in ("json_schema", "function_calling", "json_mode"):
        got = c.openai.with_structured_output(Weather, method=method).invoke(ASK + " Answer in JSON.")
        assert got == Weather(city="Oslo", sunny=True), (method, got)


def langchain_openai_through_responses(c, base):
    answer = c.responses.invoke(ASK)
    assert answer.text == TEXT and usage(answer) == (12, 7), answer
    pieces = list(c.responses.stream(ASK))
    whole = sum(pieces[1:], pieces[0])
    assert whole.text == TEXT and usage(whole) == (12, 7), whole
    assert loop(c.responses, "call_7").text == TEXT
    assert c.responses.with_structured_output(Weather).invoke(ASK) == Weather(city="Oslo", sunny=True)


def langchain_embeddings(c, base):
    vectors = c.embeddings.embed_documents(["one text", "another"])
    assert [len(v) for v in vectors] == [384, 384] and vectors[0] != vectors[1]


def langchain_anthropic_invoke_and_stream(c, base):
    answer = c.anthropic.invoke(ASK)
    assert answer.text == TEXT and usage(answer) == (12, 7), answer
    pieces = list(c.anthropic.stream(ASK))
    whole = sum(pieces[1:], pieces[0])
    assert whole.text == TEXT and usage(whole) == (12, 7), whole
    # Of its own format: what is read from the cache belongs to the input in LangChain's count, once.
    pieces = list(c.claude.stream(ASK))
    whole = sum(pieces[1:], pieces[0])
    assert usage(whole) == (16, 7) and whole.usage_metadata["input_token_details"]["cache_read"] == 4, whole.usage_metadata


def langchain_anthropic_tools(c, base):
    assert loop(c.anthropic, "call_7").text == TEXT
    loop(c.claude, "toolu_7")
    assert sent()["messages"][2]["content"][0]["tool_use_id"] == "toolu_7"
    pieces = list(c.anthropic.bind_tools([weather]).stream(ASK))
    assert sum(pieces[1:], pieces[0]).tool_calls[0]["args"] == {"city": "Oslo"}


def langchain_anthropic_structured(c, base):
    got = c.anthropic.with_structured_output(Weather).invoke(ASK)
    assert got == Weather(city="Oslo", sunny=True), got


def litellm_openai(c, base):
    answer = c.litellm("openai/auto")
    assert answer.choices[0].message.content == TEXT and answer.usage.total_tokens == 19
    chunks = list(c.litellm("openai/auto", stream=True, stream_options={"include_usage": True}))
    assert "".join(x.choices[0].delta.content or "" for x in chunks if x.choices) == TEXT
    assert [x.usage.total_tokens for x in chunks if getattr(x, "usage", None)] == [19]
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].message.content == TEXT and whole.usage.completion_tokens == 7


def litellm_openai_tools_and_structure(c, base):
    call = c.litellm("openai/auto", tools=[TOOL]).choices[0].message.tool_calls[0]
    assert (call.id, json.loads(call.function.arguments)) == ("call_7", {"city": "Oslo"})
    answer = c.litellm("openai/auto", response_format=Weather)
    assert Weather.model_validate_json(answer.choices[0].message.content) == Weather(city="Oslo", sunny=True)
    assert sent()["response_format"]["type"] == "json_schema"


def litellm_extension(c, base):
    refused(litellm.BadRequestError, lambda: c.litellm("openai/auto", extra_body={"pointsman": {"max_cost_usd": -1}}))
    c.litellm("openai/fake/small", extra_body={"top_k": 3})
    assert (sent()["model"], sent()["top_k"]) == ("small", 3)


def litellm_anthropic(c, base):
    answer = c.litellm("anthropic/auto", max_tokens=100)
    assert answer.choices[0].message.content == TEXT and answer.usage.completion_tokens == 7, answer
    chunks = list(c.litellm("anthropic/auto", max_tokens=100, stream=True))
    assert "".join(x.choices[0].delta.content or "" for x in chunks) == TEXT
    call = c.litellm("anthropic/auto", max_tokens=100, tools=[TOOL]).choices[0].message.tool_calls[0]
    assert (call.id, json.loads(call.function.arguments)) == ("call_7", {"city": "Oslo"})


def litellm_errors(c, base):
    for wanted, model in [
        (litellm.NotFoundError, "openai/nobody"), (litellm.RateLimitError, "openai/fake/limited"), (litellm.NotFoundError, "anthropic/nobody")
    ]:
        refused(wanted, lambda: c.litellm(model))


CHECKS = [
    langchain_openai_invoke, langchain_openai_stream_counts_usage_once, langchain_openai_tools, langchain_openai_structured,
    langchain_openai_through_responses, langchain_embeddings, langchain_anthropic_invoke_and_stream, langchain_anthropic_tools,
    langchain_anthropic_structured, litellm_openai, litellm_openai_tools_and_structure, litellm_extension, litellm_anthropic,
    litellm_errors,
]

run(Clients, CHECKS)
