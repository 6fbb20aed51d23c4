#!/usr/bin/env python3
"""Pointsman beside other gateways, in one run of `../shared/bench`: a plain hyper hop (floor), nginx, TensorZero, LiteLLM, Portkey.

    benches/gateways/run.py [--binary target/release/pointsman] [--rounds 3] [GATEWAY ...]

Installs what is missing into `target/gateways/home`, measures one gateway after another, each beside the mock upstream alone, and prints the
table with the goals. `round_robin` and `learned` are ours. As root the phases of a fixed rate run under SCHED_RR; the saturated one does not:
there a thread that never waits would keep its process's other threads off the core for a tenth of a second at a time. Our log then falls behind
and loses half of its events, which looks cheaper than it is. Needs Linux, two cores,
nginx, Node, Python 3.11, a package index; nothing but Python's own library itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OURS = {"round_robin": "round_robin", "learned": "learned"}
OTHERS = ["floor", "nginx", "tensorzero", "litellm", "portkey", "portkey-bun"]
PYTHON = {"tensorzero": ("venv-tz", "tensorzero==2026.6.0"), "litellm": ("venv-litellm", "litellm[proxy]==1.102.4")}
NODE = {
    "portkey": ("portkey", "@portkey-ai/gateway@1.15.2"),
    "portkey-bun": ("bun", "@oven/bun-linux-x64"),
}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("gateways", nargs="*", default=[*OTHERS, *OURS])
    options.add_argument("--binary", type=Path, default=ROOT / "target/release/pointsman")
    options.add_argument("--bench", type=Path, default=ROOT.parent / "shared/bench")
    options.add_argument("--work", type=Path, default=ROOT / "target/gateways", help="installs, stores, results")
    options.add_argument("--home", type=Path, help="where the others are installed; `home` of the work folder")
    options.add_argument("--tools", type=Path, help="the built mock-upstream, floor-proxy, loadgen; built when not given")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--phases", help="some of bench.py's phases, by commas; all of them and `sat` otherwise")
    options.add_argument("--table", action="store_true", help="measure nothing, print what was measured before")
    args = options.parse_args()
    work = args.work.resolve()
    results = work / "results"
    if not args.table:
        measure(args, work, results)
    table(results, args.gateways)
    return 0


def measure(args: argparse.Namespace, work: Path, results: Path) -> None:
    home = (args.home or work / "home").resolve()
    for folder in (home, results, work / "scratch"):
        folder.mkdir(parents=True, exist_ok=True)
    for name in args.gateways:
        install(name, home)
    env = {
        **os.environ,
        "PEER_HOME": str(home),
        "PEER_BIN": str(args.tools or built(args.bench, work)),
        "PEER_WORK": str(work / "scratch"),
        "PEER_OUT": str(results),
        "RT": "1" if os.geteuid() == 0 else "0",
    }
    for name in args.gateways:
        for phases in [args.phases] if args.phases else [None, "sat"]:
            target = ours(name, args.binary.resolve(), work) if name in OURS else name
            command = [sys.executable, args.bench / "bench.py", "--rounds", str(args.rounds)]
            policy = {"RT": "0"} if phases == "sat" else {}
            subprocess.run([*command, *(["--phases", phases] if phases else []), target], env={**env, **policy}, check=True)


def install(name: str, home: Path) -> None:
    if name in PYTHON:
        folder, package = PYTHON[name]
        if not (home / folder / "complete").exists():
            venv.create(home / folder, with_pip=True)
            subprocess.run([home / folder / "bin/python", "-m", "pip", "install", "--quiet", package], check=True)
            (home / folder / "complete").touch()
    for node in ["portkey", "portkey-bun"] if name == "portkey-bun" else [name]:
        if node in NODE and not (home / NODE[node][0] / "node_modules").exists():
            folder, package = NODE[node]
            (home / folder).mkdir()
            subprocess.run(["npm", "install", "--no-save", "--silent", package], cwd=home / folder, check=True)


def built(bench: Path, work: Path) -> Path:
    env = {**os.environ, "CARGO_TARGET_DIR": str(work / "tools")}
    subprocess.run(["cargo", "build", "--release"], cwd=bench / "mock-upstream", env=env, check=True)
    return work / "tools/release"


def ours(name: str, binary: Path, work: Path) -> Path:
    """Writes a fresh start of ours: no store, the configuration, and how bench.py starts and reaches it."""
    store = work / "scratch" / f"{name}.db"
    for end in ("", "-wal", "-shm"):
        store.with_name(store.name + end).unlink(missing_ok=True)
    config = work / "scratch" / f"{name}.toml"
    text = (HERE / "pointsman.toml").read_text()
    config.write_text(text.replace("STORE", str(store)).replace("STRATEGY", OURS[name]))
    peer = work / "scratch" / f"{name}.json"
    peer.write_text(json.dumps({
        "name": name,
        "addr": "127.0.0.1:9300",
        "models": {"small": "auto", "stream": "paced", "burst": "burst"},
        "cmd": [str(binary), "serve", "--config", str(config)],
    }))
    return peer


def added(run: dict, phase: str, series: str, quantile: str) -> float | None:
    """Milliseconds over the mock upstream alone, the median of the rounds."""
    def of(side: dict) -> float | None:
        return (side.get(series) or {}).get(quantile)

    rounds = [(of(r["direct"]), of(r["peer"])) for r in run.get(phase) or []]
    return median([(peer - direct) / 1e3 for direct, peer in rounds if direct is not None and peer is not None])


def seen(run: dict, phase: str, read) -> float | None:
    return median([read(r["peer"]) for r in run.get(phase) or [] if r["peer"].get("ok")])


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def mebibytes(run: dict, key: str) -> float | None:
    return run[key] / 1024 if run.get(key) else None


def grown(run: dict) -> float | None:
    idle, after = mebibytes(run, "rss_idle_kb"), mebibytes(run, "rss_after_kb")
    return after - idle if idle and after else None


def errors(run: dict) -> int:
    rounds = [r["peer"] for phase in run.values() if isinstance(phase, list) for r in phase]
    return sum(r.get(kind, 0) for r in rounds for kind in ("bad_status", "bad_body", "io_err"))


def chunk(side: dict) -> float:
    return side["watch"]["cpu_s"] * 1e6 / side["chunks"] if side.get("chunks") else float("nan")


# What, how it is read, digits, the goal in words, and whether it is met beside the floor's figure (round_robin, learned).
ROWS = [
    ("CPU per request, saturated, us", lambda r: seen(r, "sat", lambda p: p["watch"]["cpu_ms_per_1k"]), 0, "<= 2 x floor; learned 4 x", lambda x, f, n: x <= (4 if n == "learned" else 2) * f),
    ("requests/s on one core", lambda r: seen(r, "sat", lambda p: p["rps"]), 0, ">= 0.5 x floor", lambda x, f, n: x >= 0.5 * f),
    ("added p50 at 50/s, 1 connection, ms", lambda r: added(r, "low_c1_short", "svc", "p50_us"), 2, "<= floor + 0.10", lambda x, f, n: x <= f + 0.10),
    ("added p50 at 50/s, 16 connections, ms", lambda r: added(r, "low_c16_short", "svc", "p50_us"), 2, "<= floor + 0.10", lambda x, f, n: x <= f + 0.10),
    ("added p99 at 50/s, 1 connection, ms", lambda r: added(r, "low_c1_short", "svc", "p99_us"), 2, "<= 1.5 x floor", lambda x, f, n: x <= 1.5 * f),
    ("added p99 at 50/s, 16 connections, ms", lambda r: added(r, "low_c16_short", "svc", "p99_us"), 2, "<= 1.5 x floor", lambda x, f, n: x <= 1.5 * f),
    ("added p50, 4,000 tokens, ms", lambda r: added(r, "low_c1_long", "svc", "p50_us"), 2, "", None),
    ("added to the first token, p50, ms", lambda r: added(r, "stream_paced", "ttft", "p50_us"), 2, "<= floor + 0.15", lambda x, f, n: x <= f + 0.15),
    ("added per chunk, p50, ms", lambda r: added(r, "stream_paced", "hop", "p50_us"), 2, "<= 1.3 x floor", lambda x, f, n: x <= 1.3 * f),
    ("CPU per chunk, unpaced, us", lambda r: seen(r, "stream_burst", chunk), 1, "<= 1.0 x floor", lambda x, f, n: x <= f),
    ("cold start, s", lambda r: r.get("cold_start_s"), 2, "<= 0.5", lambda x, f, n: x <= 0.5),
    ("memory, idle, MiB", lambda r: mebibytes(r, "rss_idle_kb"), 0, "<= 150", lambda x, f, n: x <= 150),
    ("memory, afterwards, MiB", lambda r: mebibytes(r, "rss_after_kb"), 0, "<= 150", lambda x, f, n: x <= 150),
    ("growth, MiB", grown, 1, "<= 10 over 50,000", lambda x, f, n: x <= 10),
    ("requests sent", lambda r: r.get("requests_sent"), 0, "", None),
    ("errors", errors, 0, "0", lambda x, f, n: x == 0),
]


def table(results: Path, names: list[str]) -> None:
    """Markdown. Ours are marked where a goal is missed."""
    runs = {}
    for name in names:
        file = results / f"{name}.pinned.json"
        if file.exists():
            runs[name] = json.loads(file.read_text())
    print("| | " + " | ".join(runs) + " | goal |\n|" + "---|" * (len(runs) + 2))
    for what, read, digits, goal, met in ROWS:
        floor = read(runs["floor"]) if "floor" in runs else None
        cells = []
        for name, run in runs.items():
            value = read(run)
            cell = "-" if value is None or value != value else f"{value:,.{digits}f}"
            judged = name in OURS and met is not None and value is not None and floor is not None
            cells.append(cell + (" (missed)" if judged and not met(value, floor, name) else ""))
        print(f"| {what} | " + " | ".join(cells) + f" | {goal} |")


if __name__ == "__main__":
    sys.exit(main())
