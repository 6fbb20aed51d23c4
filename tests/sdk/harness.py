"""What the scripts in this folder share: an upstream that speaks OpenAI's and Anthropic's format, and the service before it."""

import collections
import contextlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

WORDS = ["Fine ", "weather ", "in ", "Oslo."]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Looks the weather up.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


# What a made-up answer says for a field of a tool or of a schema.
VALUES = {"city": "Oslo", "sunny": True}


def arguments(schema):
    return {name: VALUES[name] for name in schema.get("properties", {})}


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers in OpenAI's format and, under /messages, in Anthropic's. `limited`, `broken` and `cut` are models that fail."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    seen = collections.deque(maxlen=1)

    def log_message(self, *_):
        pass

    def do_GET(self):
        """The body that came last."""
        self.send(self.seen[-1])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.seen.append(body)
        if body["model"] == "limited":
            fault = {"message": "Rate limit reached", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
            self.send({"error": fault}, 429, {"retry-after": "7"})
        elif body["model"] == "broken":
            self.send({"error": {"message": "out of order", "type": "server_error", "param": None, "code": None}}, 500)
        elif self.path.startswith("/v1/messages"):
            self.message(body)
        elif body.get("stream"):
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

    def send(self, answer, status=200, headers={}):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def events(self, lines):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for line in lines:
            self.wfile.write(f"{line}\n\n".encode())
        self.close_connection = True

    def blocks(self, body):
        """Anthropic's content: thinking when asked for (`thinker` always does), then a call of the first tool, or a text that tells which fields came."""
        blocks = []
        if body.get("thinking", {}).get("type") == "enabled" or body["model"] == "thinker":
            blocks.append({"type": "thinking", "thinking": "Let me see.", "signature": "sig_9"})
        last = body["messages"][-1]["content"]
        is_result = isinstance(last, list) and any(part["type"] == "tool_result" for part in last)
        if body.get("tools") and not is_result:
            tool = body["tools"][0]
            call = {"type": "tool_use", "id": "toolu_7", "name": tool["name"], "input": arguments(tool["input_schema"])}
            return [*blocks, call], "tool_use"
        return [*blocks, {"type": "text", "text": json.dumps(sorted(body))}], "end_turn"

    def message(self, body):
        usage = {"input_tokens": 12, "output_tokens": 7, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
        head = {"id": "msg_" + os.urandom(6).hex(), "type": "message", "role": "assistant", "model": body["model"]}
        content, reason = self.blocks(body)
        end = {"stop_reason": reason, "stop_sequence": None}
        if not body.get("stream"):
            return self.send({**head, "content": content, **end, "usage": usage})
        begin = {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": {**usage, "output_tokens": 1}}
        events = [{"type": "message_start", "message": begin}]
        for index, block in enumerate(content):
            empty, deltas = pieces_of(block)
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        events += [{"type": "message_delta", "delta": end, "usage": usage}, {"type": "message_stop"}]
        self.events(f"event: {event['type']}\ndata: {json.dumps(event)}" for event in events)

    def tool_called(self, body):
        """Name and arguments of the call that answers `body`; after a tool's result there is none."""
        if not body.get("tools") or body["messages"][-1]["role"] == "tool":
            return None
        function = body["tools"][0]["function"]
        return function["name"], arguments(function["parameters"])

    def text(self, body):
        wants = body.get("response_format", {}).get("type")
        return json.dumps(VALUES) if wants in ("json_schema", "json_object") else "".join(WORDS)

    def plain(self, body):
        called = self.tool_called(body)
        message, reason = {"role": "assistant", "content": self.text(body)}, "stop"
        if called:
            function = {"name": called[0], "arguments": json.dumps(called[1])}
            call = {"id": "call_7", "type": "function", "function": function}
            message, reason = {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"
        self.send(self.answer(body, message, reason))

    def stream(self, body):
        base = {"id": "chatcmpl-" + os.urandom(6).hex(), "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        chunk = lambda delta, reason=None: {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        events, called, text = [chunk({"role": "assistant", "content": ""})], self.tool_called(body), self.text(body)
        if called:
            part = lambda call: {"tool_calls": [{"index": 0, **call}]}
            data = json.dumps(called[1])
            events.append(chunk(part({"id": "call_7", "type": "function", "function": {"name": called[0], "arguments": ""}})))
            events += [chunk(part({"function": {"arguments": piece}})) for piece in (data[:8], data[8:])]
        else:
            events += [chunk({"content": piece}) for piece in re.findall(r"\S+\s*", text)]
        if body["model"] == "cut":
            return self.events(f"data: {json.dumps(event)}" for event in events[:3])
        events.append(chunk({}, "tool_calls" if called else "stop"))
        if body.get("stream_options", {}).get("include_usage"):
            events.append({**base, "choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}})
        self.events([*(f"data: {json.dumps(event)}" for event in events), "data: [DONE]"])


def pieces_of(block):
    """How Anthropic streams a block: what it begins with, and the deltas."""
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}, {"type": "signature_delta", "signature": block["signature"]}]
        return {"type": "thinking", "thinking": "", "signature": ""}, deltas
    if block["type"] == "tool_use":
        data = json.dumps(block["input"])
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": piece} for piece in (data[:8], data[8:])]
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": block["text"]}]


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
capabilities = ["tools", "json_schema"]
[models."fake/small"]
provider = "fake"
model = "small"
price = {{ input = 0.1, output = 0.4 }}
context_window = 128000
capabilities = ["tools", "json_schema"]
[models."fake/limited"]
provider = "fake"
model = "limited"
price = {{ input = 0.1, output = 0.4 }}
[models."fake/broken"]
provider = "fake"
model = "broken"
price = {{ input = 0.1, output = 0.4 }}
[models."fake/cut"]
provider = "fake"
model = "cut"
price = {{ input = 0.1, output = 0.4 }}
[providers.claude]
format = "anthropic"
base_url = "http://127.0.0.1:{upstream}/v1"
[models."claude/haiku"]
provider = "claude"
model = "haiku"
price = {{ input = 1.0, output = 5.0 }}
context_window = 200000
capabilities = ["tools", "images", "reasoning"]
[models."claude/thinker"]
provider = "claude"
model = "thinker"
price = {{ input = 1.0, output = 5.0 }}
capabilities = ["tools", "reasoning"]
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


@contextlib.contextmanager
def serving(binary, scopes=()):
    """The upstream and the service before it: gives the service's address, a client key and the upstream's address."""
    binary = os.path.abspath(binary)
    upstream = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    upstream.daemon_threads = True
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        with open(os.path.join(folder, "pointsman.toml"), "w") as file:
            file.write(CONFIG.format(port=port, upstream=upstream.server_address[1]))
        make = [binary, "keys", "create", "--name", "sdk", "--json", *(f"--scope={scope}" for scope in scopes)]
        key = json.loads(subprocess.run(make, cwd=folder, check=True, stdout=subprocess.PIPE).stdout)["key"]
        service = subprocess.Popen([binary, "serve"], cwd=folder, env={**os.environ, "RUST_LOG": "error"})
        base = f"http://127.0.0.1:{port}"
        try:
            until_ready(base, service)
            yield base, key, f"http://127.0.0.1:{upstream.server_address[1]}"
        finally:
            service.terminate()
            assert service.wait(30) == 0, "the service did not stop cleanly"


def sent():
    """The body that the upstream got last."""
    return Upstream.seen[-1]


def refused(wanted, call):
    """The error of class `wanted` that `call` must raise."""
    try:
        call()
    except wanted as error:
        return error
    raise AssertionError(f"no {wanted.__name__}")


def run(client_of, checks):
    """Starts everything, runs the checks with the client that `client_of` makes of address and key, and ends the process."""
    failed = 0
    with serving(sys.argv[1]) as (base, key, _):
        client = client_of(base, key)
        for check in checks:
            try:
                check(client, base)
                print(f"ok     {check.__name__}")
            except Exception:
                failed += 1
                print(f"FAILED {check.__name__}\n{traceback.format_exc()}")
    print(f"{os.path.basename(sys.argv[0])}: {len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)
