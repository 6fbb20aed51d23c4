"""Vowpal Wabbit and MABWiser: one learner for each trade-off between quality and cost, since they know a single reward.

Each passes over the whole stream with bandit feedback, then routes the scored rows greedily without learning: one point of the curve.
Ours learns once for all trade-offs, so these rows are told up to SWEEP times as much.
"""

import numpy as np
from mabwiser.mab import MAB, LearningPolicy
from vowpalwabbit import pyvw

from world import World

SWEEP = 9
# MABWiser inverts every arm's matrix at each update: 2 ms with three arms, 5 ms with ten.
MABWISER_ROWS = 2000
MABWISER_SHUFFLES = 1


def losses(world: World, value: float) -> np.ndarray:
    """-(quality - cost / value), moved and shrunk into [0, 1], which the explorers' scales assume; shape [n, k]."""
    price = np.minimum(world.cost / value, 1e6)
    most = price[: world.learned].max()
    return np.clip((1.0 - world.quality + price) / (1.0 + most), 0.0, 1.0)


class Vw:
    """A contextual bandit over `-q SA`: shared features times action."""

    def __init__(self, world: World, options: str, seed: int):
        self.rng = np.random.default_rng(seed)
        self.vw = pyvw.Workspace(
            f"--cb_explore_adf -q SA --quiet --random_seed {seed} {options}", arg_list=["--no_stdin"]
        )
        self.actions = [f"|A a{k}" for k in range(len(world.arms))]
        self.shared = [
            "shared |S " + " ".join(f"{j}:{x:.5g}" for j, x in enumerate(row[:-1]) if x != 0.0)
            for row in world.contexts
        ]

    def shares(self, row: int) -> np.ndarray:
        p = np.array(self.vw.predict([self.shared[row], *self.actions]))
        return p / p.sum()

    def learn(self, row: int, loss: np.ndarray) -> None:
        p = self.shares(row)
        k = int(self.rng.choice(len(p), p=p))
        lines = [self.shared[row], *self.actions]
        lines[1 + k] = f"0:{loss[k]:.6g}:{p[k]:.6g} {self.actions[k]}"
        self.vw.learn(lines)

    def route(self, rows) -> np.ndarray:
        """The likeliest arm; one of them by lot where several are, or the first arm would be preferred without a reason."""
        return np.array([self.likeliest(self.shares(row)) for row in rows])

    def likeliest(self, p: np.ndarray) -> int:
        return int(self.rng.choice(np.flatnonzero(p >= p.max() - 1e-6)))


def vw_curve(world: World, options: str, seed: int) -> list[list[float]]:
    points = []
    for value in world.values(SWEEP):
        loss = losses(world, value)
        learner = Vw(world, options, seed + 1)
        for row in world.orders[seed]:
            learner.learn(row, loss[row])
        points.append(world.walk(learner.route(range(world.learned, len(world.quality)))))
        learner.vw.finish()
    return points


def linucb_curve(world: World, seed: int) -> list[list[float]]:
    """LinUCB of MABWiser; the stream is cut, see above."""
    points = []
    arms = list(range(len(world.arms)))
    for value in world.values(SWEEP):
        reward = 1.0 - losses(world, value)
        mab = MAB(arms, LearningPolicy.LinUCB(alpha=0.1, l2_lambda=1.0), seed=seed)
        order = world.orders[seed][:MABWISER_ROWS]
        for turn, row in enumerate(order):
            x = world.contexts[row : row + 1]
            k = mab.predict(x) if turn else int(row) % len(arms)
            step = mab.partial_fit if turn else mab.fit
            step(decisions=[k], rewards=[float(reward[row, k])], contexts=x)
        # Greedy on what was learned: the same regressions without the bonus.
        expected = mab._imp.arm_to_model
        theta = np.stack([np.asarray(expected[k].beta).ravel() for k in arms])
        points.append(world.walk(np.argmax(world.contexts[world.scored] @ theta.T, axis=1)))
    return points


def rows(world: World, seeds: int):
    kinds = [
        ("VW squarecb gamma 10", "--squarecb --gamma_scale 10"),
        ("VW squarecb gamma 1000", "--squarecb --gamma_scale 1000"),
        ("VW regcb", "--regcb"),
        ("VW cover 4", "--cover 4 --epsilon 0.02"),
        ("VW epsilon 0.05", "--epsilon 0.05"),
    ]
    for name, options in kinds:
        yield f"{name} (bandit, one learner a trade-off)", lambda options=options: [
            vw_curve(world, options, seed) for seed in range(seeds)
        ]
    yield "MABWiser LinUCB (bandit, one learner a trade-off, at most 2k rows, 1 shuffle)", lambda: [
        linucb_curve(world, seed) for seed in range(min(seeds, MABWISER_SHUFFLES))
    ]
