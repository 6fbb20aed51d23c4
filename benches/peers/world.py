"""The exported world: who can be asked, what is known of each prompt, what each arm did, and in which order prompts come.

`world.json` beside raw little-endian arrays; rows are those learned from, then those scored.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class World:
    """Shapes: n rows, k arms, s seeds, m rows learned from."""

    name: str
    priced: bool
    arms: list[str]
    prices: np.ndarray  # [k, 2]: input and output, USD per million tokens
    vectors: np.ndarray  # [n, 384]: the encoder's, unit length
    contexts: np.ndarray  # [n, d]: what the router itself reads, the last is 1
    quality: np.ndarray  # [n, k]
    cost: np.ndarray  # [n, k], USD; 0 where costs are unknown
    orders: np.ndarray  # [s, m]: the stream of each seed, rows
    learned: int  # m
    grid: np.ndarray  # USD that a perfect answer over a useless one is worth, rising

    @property
    def scored(self) -> slice:
        return slice(self.learned, len(self.quality))

    def walk(self, choices: np.ndarray) -> list[float]:
        """Mean cost and quality over the scored rows when row i goes to arm choices[i]."""
        rows = np.arange(self.learned, len(self.quality))
        return [float(self.cost[rows, choices].mean()), float(self.quality[rows, choices].mean())]

    def cheapest(self) -> list[list[float]]:
        """The cheapest arm alone, a point that every router can be mixed with: so no curve begins at a spend that it cannot go below.

        None where costs are unknown."""
        if not self.priced:
            return []
        arm = int(self.cost[self.scored].mean(axis=0).argmin())
        return [self.walk(np.full(len(self.quality) - self.learned, arm))]

    def values(self, count: int) -> np.ndarray:
        """At most so many of the grid's values, evenly, both ends among them."""
        picks = np.unique(np.linspace(0, len(self.grid) - 1, count).round().astype(int))
        return self.grid[picks]


def load(folder: Path) -> World:
    about = json.loads((folder / "world.json").read_text())
    n, k = about["rows"], len(about["arms"])

    def array(name: str, kind: str, width: int) -> np.ndarray:
        return np.fromfile(folder / name, dtype=kind).reshape(-1, width)

    world = World(
        name=about["name"],
        priced=about["priced"],
        arms=[arm["id"] for arm in about["arms"]],
        prices=np.array([[arm["input_usd"], arm["output_usd"]] for arm in about["arms"]]),
        vectors=array("vectors.f32", "<f4", about["width"]).astype(float),
        contexts=array("contexts.f32", "<f4", about["dim"]).astype(float),
        quality=array("quality.f64", "<f8", k),
        cost=array("cost.f64", "<f8", k),
        orders=array("orders.u32", "<u4", about["learned"]).astype(int),
        learned=about["learned"],
        grid=np.array(about["grid"]),
    )
    if not len(world.vectors) == len(world.contexts) == len(world.quality) == len(world.cost) == n:
        raise SystemExit(f"{folder}: the arrays do not all have {n} rows")
    return world
