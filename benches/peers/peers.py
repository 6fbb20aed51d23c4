"""All peers over one exported world; called by run.py inside the virtual environment."""

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import bandits
import labelled
import pareto
import world as worlds

LIBRARIES = ("paretobandit", "vowpalwabbit", "mabwiser", "scikit-learn", "numpy")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("export", type=Path, help="folder that the benchmark wrote")
    arguments.add_argument("result", type=Path, help="JSON to write")
    arguments.add_argument("--only", default="", help="peers whose names contain one of these, by commas")
    arguments.add_argument("--paced", action="store_true", help="ParetoBandit under its seven budgets instead")
    args = arguments.parse_args()
    world = worlds.load(args.export)
    seeds = len(world.orders)
    result = {"name": world.name, "versions": {name: version(name) for name in LIBRARIES}}
    if args.paced:
        result["paced"] = pareto.paced(world, seeds)
    else:
        result["rows"] = list(curves(world, seeds, [part for part in args.only.split(",") if part]))
    args.result.write_text(json.dumps(result))


def curves(world: worlds.World, seeds: int, only: list[str]):
    for makers in (pareto.rows(world, seeds), bandits.rows(world, seeds), labelled.rows(world)):
        for name, make in makers:
            if only and not any(part.lower() in name.lower() for part in only):
                continue
            begun = time.monotonic()
            yield {"name": name, "curves": [curve + world.cheapest() for curve in make()]}
            print(f"peers: {name}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
