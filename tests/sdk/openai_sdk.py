"""The official OpenAI SDK against the real binary, unchanged but for `base_url`.

    python3 -m venv .venv && .venv/bin/pip install -r tests/sdk/requirements.txt
    cargo build && .venv/bin/python tests/sdk/openai_sdk.py target/debug/pointsman

Starts an upstream of its own and the service with a client key; ends with the line `N passed, N failed`.
"""

import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

import openai

WORDS = ["Fine ", "weather ", "in ", "Oslo."]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Looks the weather up.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if body.get("stream"):
            self.stream(body)
        else:
            self.plain(body)

    def answer(self, body, message, reason):
        return {
            "id": "chatcmpl-" + os.urandom(6).hex(),
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19},
        }

    def plain(self, body):
        message, reason = {"role": "assistant", "content": "".join(WORDS)}, "stop"
        if body.get("tools"):
            call = {"name": "weather", "arguments": json.dumps({"city": "Oslo"})}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_7", "type": "function", "function": call}],
            }
            reason = "tool_calls"
        data = json.dumps(self.answer(body, message, reason)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def stream(self, body):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        base = {"id": "chatcmpl-" + os.urandom(6).hex(), "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        chunk = lambda delta, reason: {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        events = [chunk({"role": "assistant", "content": ""}, None)]
        events += [chunk({"content": word}, None) for word in WORDS] + [chunk({}, "stop")]
        if body.get("stream_options", {}).get("include_usage"):
            events.append({**base, "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}})
        for event in events:
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True


CONFIG = """
schema_version = 1
[server]
listen = "127.0.0.1:{port}"
[store]
url = "sqlite:log.db"
[embedder]
kind = "minilm"
deadline_ms = 20000
[providers.fake]
format = "openai-compatible"
base_url = "http://127.0.0.1:{upstream}/v1"
[models."fake/large"]
provider = "fake"
model = "large"
price = {{ input = 2.0, output = 8.0 }}
context_window = 128000
capabilities = ["tools"]
[models."fake/small"]
provider = "fake"
model = "small"
price = {{ input = 0.1, output = 0.4 }}
context_window = 128000
capabilities = ["tools"]
[routes.auto]
models = ["fake/large", "fake/small"]
default = "fake/large"
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until_ready(base, process):
    while True:
        if process.poll() is not None:
            sys.exit("the service ended at its start")
        try:
            urllib.request.urlopen(base + "/readyz").read()
            return
        except OSError:
            time.sleep(0.02)


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


CHECKS = [
    plain, streaming, streaming_with_usage, tools, auto_and_headers, explicit_model, wrong_key, error_classes, feedback,
    models_and_embeddings,
]


def main():
    binary = os.path.abspath(sys.argv[1])
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with open(os.path.join(folder, "pointsman.toml"), "w") as file:
            file.write(CONFIG.format(port=port, upstream=upstream.server_address[1]))
        made = subprocess.run([binary, "keys", "create", "--name", "sdk", "--json"], cwd=folder, check=True, stdout=subprocess.PIPE)
        key = json.loads(made.stdout)["key"]
        service = subprocess.Popen([binary, "serve"], cwd=folder, env={**os.environ, "RUST_LOG": "warn"})
        base = f"http://127.0.0.1:{port}"
        until_ready(base, service)
        client = openai.OpenAI(base_url=base + "/v1", api_key=key, max_retries=0)
        failed = 0
        for check in CHECKS:
            try:
                check(client, base)
                print(f"ok     {check.__name__}")
            except Exception:
                failed += 1
                print(f"FAILED {check.__name__}\n{traceback.format_exc()}")
        service.terminate()
        assert service.wait(30) == 0, "the service did not stop cleanly"
    print(f"sdk: {len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
