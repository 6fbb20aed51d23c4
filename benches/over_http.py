#!/usr/bin/env python3
"""Streams of recorded outcomes through a running `pointsman serve`, as `bench routing --protocol paced` lives them in process.

The first split is there to learn from, the second is scored while still learning: POST /v1/route, then POST /feedback with the value and the
cost of the model that was chosen, one request after the other over one connection. Nothing is waited for but the two answers, so a
request may be decided on a policy that has not heard of the last few reports. Prompts that one of the models has not answered are
left out. Orders are this script's own: compare means over seeds with the benchmark's, not single seeds.

    benches/over_http.py target/release/pointsman --data DIR --models A,B,C --seeds 2 --budgets 8.288e-5,6.637e-4,5.314e-3

Standard library only.
"""

import argparse
import csv
import gzip
import http.client
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# An arm whose tokens are not known has a price of output at which its mean call is so many tokens long.
PSEUDO_TOKENS = 1000.0
# A price list explains recorded costs when it misses them by less than this share.
PRICE_TOLERANCE = 0.02


def number(text):
    return float(text) if text else None


def load(folder, models):
    """Prompts by split, each with the outcomes of all `models`: {model: (quality, cost, input tokens, output tokens)}."""
    outcomes = {}
    with gzip.open(folder / "outcomes.csv.gz", "rt", newline="") as file:
        for line in csv.DictReader(file):
            if line["quality"]:
                cell = tuple(number(line[name]) for name in ("quality", "cost_usd", "input_tokens", "output_tokens"))
                outcomes.setdefault(line["prompt_id"], {})[line["model"]] = cell
    models = models or sorted({model for cells in outcomes.values() for model in cells})
    parts = {}
    with gzip.open(folder / "prompts.jsonl.gz", "rt") as file:
        for line in file:
            row = json.loads(line)
            cells = outcomes.get(row["id"], {})
            if all(model in cells for model in models):
                parts.setdefault(row.get("split"), []).append((row["prompt"], {model: cells[model] for model in models}))
    return models, parts


def price(cells):
    """USD per million tokens of input and output, as offline/routing_bench/world.rs finds them."""
    if all(None not in cell for cell in cells):
        rows = [(tokens_in, tokens_out, cost * 1e6) for _, cost, tokens_in, tokens_out in cells]
        ii, io, oo = (sum(r[a] * r[b] for r in rows) for a, b in ((0, 0), (0, 1), (1, 1)))
        ic, oc = (sum(r[a] * r[2] for r in rows) for a in (0, 1))
        determinant = ii * oo - io * io
        if determinant:
            found = max((oo * ic - io * oc) / determinant, 0.0), max((ii * oc - io * ic) / determinant, 0.0)
            missed = sum(abs(r[0] * found[0] + r[1] * found[1] - r[2]) for r in rows)
            if missed <= PRICE_TOLERANCE * sum(r[2] for r in rows):
                return found
    return 0.0, max(statistics.fmean(cell[1] for cell in cells) * 1e6 / PSEUDO_TOKENS, 1e-9)


def config(folder, args, models, prices, budget):
    quoted = ", ".join(json.dumps(model) for model in models)
    text = f"""schema_version = 1
[server]
listen = "127.0.0.1:0"
[store]
url = "sqlite:{folder / 'log.db'}"
[embedder]
kind = "{args.embedder}"
[providers.recorded]
format = "openai-compatible"
base_url = "http://127.0.0.1:9/v1"
[routes.auto]
models = [{quoted}]
default = {json.dumps(args.default or models[0])}
"""
    text += "weights = { quality = 1.0 }\n" if args.quality_usd is None else f"value = {{ quality_usd = {args.quality_usd!r} }}\n"
    if budget is not None:
        text += f"budget = {{ usd_per_request = {budget!r} }}\n"
    for model in models:
        tokens_in, tokens_out = prices[model]
        text += f"""[models.{json.dumps(model)}]
provider = "recorded"
model = {json.dumps(model)}
price = {{ input = {tokens_in!r}, output = {tokens_out!r} }}
context_window = 1000000
"""
    path = folder / "pointsman.toml"
    path.write_text(text)
    return path


class Service:
    """A `pointsman serve` of its own on a new store."""

    def __init__(self, args, models, prices, budget):
        self.folder = tempfile.TemporaryDirectory()
        path = config(Path(self.folder.name), args, models, prices, budget)
        self.log = open(Path(self.folder.name) / "stderr", "w+b")
        command = [args.binary, "serve", "--log-json", "--config", str(path)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.connection = http.client.HTTPConnection(self.address(), timeout=60)

    def told(self):
        return (Path(self.folder.name) / "stderr").read_text(errors="replace")

    def address(self):
        for _ in range(600):
            found = re.search(r'"addr":"([0-9.]+:[0-9]+)"', self.told())
            if found:
                return found.group(1)
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"the service did not start:\n{self.told()}")

    def post(self, path, body):
        self.connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        response = self.connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            sys.exit(f"{path}: {response.status} {answer}")
        return answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()
        self.folder.cleanup()


def live(service, rows, feedback, draw):
    """Quality and cost of each request, which model it was given and who read it, and how long the decision took in seconds."""
    lived = []
    for prompt, cells in rows:
        started = time.perf_counter()
        answer = service.post("/v1/route", {"model": "auto", "messages": [{"role": "user", "content": prompt}]})
        took = time.perf_counter() - started
        quality, cost = cells[answer["model"]][:2]
        report = {"decision_id": answer["decision_id"], "cost_usd": cost}
        if draw.random() < feedback:
            report["value"] = quality
        service.post("/feedback", report)
        lived.append((quality, cost, answer["model"], answer["embedder"], took))
    return lived


def stream(args, models, prices, parts, seed, budget):
    """One seed: the rows of the scored part as they were lived."""
    first, second = (list(parts.get(name, [])) for name in args.splits)
    order = random.Random(seed)
    order.shuffle(first)
    order.shuffle(second)
    with Service(args, models, prices, budget) as service:
        if not args.alone:
            live(service, first, args.feedback, order)
        return live(service, second, args.feedback, order)


def describe(name, runs, budget):
    qualities = [statistics.fmean(row[0] for row in run) for run in runs]
    costs = [statistics.fmean(row[1] for row in run) for run in runs]
    figures = " ".join(
        f"{quality:.4f} @ {cost / budget:.3f}" if budget else f"{quality:.4f} at {cost:.3e}"
        for quality, cost in zip(qualities, costs)
    )
    rows = [row for run in runs for row in run]
    shares = {model: f"{count / len(rows):.3f}" for model, count in sorted(Counter(row[2] for row in rows).items())}
    readers = dict(Counter(row[3] for row in rows))
    took = sorted(row[4] * 1e3 for row in rows)
    mean = f"{statistics.fmean(qualities):.4f} @ {statistics.fmean(costs) / (budget or 1.0):.3f}"
    print(f"{name}: mean {mean} | seeds {figures} | shares {shares} | read by {readers} | route p50 {took[len(took) // 2]:.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=lambda text: sorted(text.split(",")), help="default: all of the folder")
    parser.add_argument("--splits", type=lambda text: text.split(","), default=["val", "test"], help="learned from, scored")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--budgets", type=lambda text: [float(b) for b in text.split(",")], help="USD per request; default: none")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--default", help="the route's default model; default: the first by name, as in the benchmark")
    parser.add_argument("--quality-usd", type=float, help="what a perfect answer is worth; default: quality alone counts")
    parser.add_argument("--price", action="append", default=[], metavar="MODEL=INPUT,OUTPUT", help="USD per million tokens; default: as recorded")
    parser.add_argument("--feedback", type=float, default=1.0, help="share of the answers whose quality is reported")
    parser.add_argument("--alone", action="store_true", help="the scored part alone")
    args = parser.parse_args()
    os.environ.setdefault("RUST_LOG", "info")
    models, parts = load(args.data, args.models)
    learned = parts.get(args.splits[0], [])
    prices = {model: price([cells[model] for _, cells in learned]) for model in models}
    for given in args.price:
        model, _, pair = given.partition("=")
        prices[model] = tuple(float(part) for part in pair.split(","))
    print(f"{args.data.name}: {len(learned)} then {len(parts.get(args.splits[1], []))} prompts; USD per million tokens {prices}")
    for budget in args.budgets or [None]:
        started = time.monotonic()
        runs = [stream(args, models, prices, parts, seed, budget) for seed in range(args.seeds)]
        describe("no budget" if budget is None else f"{budget:.3e}", runs, budget)
        print(f"    {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
