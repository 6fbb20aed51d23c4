"""Recomputes what `pointsman demo --data FOLDER` printed, from the log and the folder alone.

    pointsman demo --data FOLDER --exit --json --keep KEPT > summary.json
    python3 tests/data/recompute_demo.py FOLDER KEPT summary.json

Reads the events of the router's SQLite log (who served, at what cost, which feedback was accepted) and the folder's outcomes; none of
the demo's own code takes part. Ends with a non-zero status when a figure differs.
"""

import csv
import gzip
import json
import sqlite3
import sys
from pathlib import Path


def outcomes(folder):
    with gzip.open(folder / "outcomes.csv.gz", "rt", newline="") as file:
        return {
            (row["prompt_id"], row["model"]): (float(row["quality"]), float(row["cost_usd"]))
            for row in csv.DictReader(file)
            if row["quality"] and row["cost_usd"]
        }


def log(kept):
    """Completions and quality reports by decision id."""
    database = sqlite3.connect(f"file:{kept / 'pointsman.db'}?mode=ro", uri=True)
    completed, reported = {}, {}
    for kind, body in database.execute("SELECT kind, body FROM events ORDER BY seq"):
        event = json.loads(body)
        event = event.get("body", event)
        if kind == "completed" and event["served"]:
            assert event["decision"] not in completed, "a decision was completed twice"
            completed[event["decision"]] = event
        elif kind == "feedback":
            reported[event["decision"]] = event["value"]
    return completed, reported


def close(name, printed, recomputed, tolerance):
    ok = abs(printed - recomputed) <= tolerance * max(abs(recomputed), 1e-12)
    print(f"{'ok    ' if ok else 'DIFFER'} {name:<28} printed {printed:.9g}  recomputed {recomputed:.9g}")
    return ok


def main():
    folder, kept, summary = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
    truth, (completed, reported) = outcomes(folder), log(kept)
    quality = spend = 0.0
    wrong_cost = wrong_report = 0
    prompts = [json.loads(line) for line in (kept / "decisions.jsonl").read_text().splitlines()]
    for line in prompts:
        event = completed[line["decision_id"]]
        recorded_quality, recorded_cost = truth[line["prompt_id"], event["served"]]
        quality += recorded_quality
        spend += event["cost_usd"]
        wrong_cost += abs(event["cost_usd"] - recorded_cost) > 1e-12
        said = reported.get(line["decision_id"])
        wrong_report += said is not None and abs(said - recorded_quality) > 1e-12
    router = next(s for s in summary["standings"] if s["policy"] == "pointsman")
    checks = [
        close("answers", summary["traffic"]["answered"], len(prompts), 0),
        close("mean quality", router["quality"], quality / len(prompts), 1e-9),
        close("spend USD", router["spend_usd"], spend, 1e-9),
        close("costs that differ", 0, wrong_cost, 0),
        close("reports that differ", 0, wrong_report, 0),
    ]
    print(f"recompute: {sum(checks)} passed, {len(checks) - sum(checks)} failed")
    sys.exit(not all(checks))


main()
