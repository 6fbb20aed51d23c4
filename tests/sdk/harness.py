"""What the scripts in this folder share: an upstream that speaks OpenAI's and Anthropic's format, and the service before it."""

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
        if self.path.startswith("/v1/messages"):
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

    def send(self, answer):
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def message(self, body):
        """Anthropic's format; tells what it was sent."""
        usage = {"input_tokens": 12, "output_tokens": 7, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0}
        content = [{"type": "text", "text": json.dumps(sorted(body))}]
        head = {"id": "msg_" + os.urandom(6).hex(), "type": "message", "role": "assistant", "model": body["model"]}
        end = {"stop_reason": "end_turn", "stop_sequence": None}
        if not body.get("stream"):
            return self.send({**head, "content": content, **end, "usage": usage})
        text = {"type": "text_delta", "text": content[0]["text"]}
        events = [
            {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": text},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": end, "usage": {"output_tokens": 7}},
            {"type": "message_stop"},
        ]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.close_connection = True

    def plain(self, body):
        message, reason = {"role": "assistant", "content": "".join(WORDS)}, "stop"
        if body.get("response_format", {}).get("type") == "json_schema":
            message["content"] = json.dumps({"city": "Oslo", "sunny": True})
        if body.get("tools"):
            call = {"name": "weather", "arguments": json.dumps({"city": "Oslo"})}
            message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "call_7", "type": "function", "function": call}],
            }
            reason = "tool_calls"
        self.send(self.answer(body, message, reason))

    def stream(self, body):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        base = {"id": "chatcmpl-" + os.urandom(6).hex(), "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        chunk = lambda delta, reason: {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
        events = [chunk({"role": "assistant", "content": ""}, None)]
        if body.get("tools"):
            part = lambda call: {"tool_calls": [{"index": 0, **call}]}
            name = {"name": "weather", "arguments": ""}
            events.append(chunk(part({"id": "call_7", "type": "function", "function": name}), None))
            events += [chunk(part({"function": {"arguments": piece}}), None) for piece in ['{"city": ', '"Oslo"}']]
            events.append(chunk({}, "tool_calls"))
        else:
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
capabilities = ["tools", "json_schema"]
[models."fake/small"]
provider = "fake"
model = "small"
price = {{ input = 0.1, output = 0.4 }}
context_window = 128000
capabilities = ["tools", "json_schema"]
[providers.claude]
format = "anthropic"
base_url = "http://127.0.0.1:{upstream}/v1"
[models."claude/haiku"]
provider = "claude"
model = "haiku"
price = {{ input = 1.0, output = 5.0 }}
context_window = 200000
capabilities = ["tools", "images", "reasoning"]
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


def run(client_of, checks):
    """Starts everything, runs the checks with the client that `client_of` makes of address and key, and ends the process."""
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
        client = client_of(base, key)
        failed = 0
        for check in checks:
            try:
                check(client, base)
                print(f"ok     {check.__name__}")
            except Exception:
                failed += 1
                print(f"FAILED {check.__name__}\n{traceback.format_exc()}")
        service.terminate()
        assert service.wait(30) == 0, "the service did not stop cleanly"
    print(f"{os.path.basename(sys.argv[0])}: {len(checks) - failed} passed, {failed} failed")
    sys.exit(failed > 0)

