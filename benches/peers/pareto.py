"""ParetoBandit with its own features (PCA of 25 components, whitened, shipped with it) of our vectors.

With warm-up priors where it ships them (its three arms), cold elsewhere. Under budgets: the published protocol, that is, learn over
the first rows, then route the scored rows while still learning.
"""

import logging
from pathlib import Path

import joblib
import numpy as np
import pareto_bandit
from pareto_bandit.budget_pacer import BudgetPacer, PacingMode
from pareto_bandit.config import BEST_K3_HPARAMS
from pareto_bandit.feature_service import FeatureService
from pareto_bandit.router import BanditRouter
from pareto_bandit.storage import EphemeralContextStore

from world import World

logging.disable(logging.WARNING)

ARTIFACTS = Path(pareto_bandit.__file__).parent / "data" / "artifacts"
# USD per million tokens, from its own registry.
SHIPPED = {
    "meta-llama/llama-3.1-8b-instruct": (0.1, 0.1),
    "mistralai/mistral-large-2512": (0.5, 1.5),
    "google/gemini-2.5-pro": (1.25, 10.0),
}
# The origin's seven targets, USD per request.
BUDGETS = (2.929e-05, 8.288e-05, 2.345e-04, 6.637e-04, 1.878e-03, 5.314e-03, 1.504e-02)
PENALTIES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0)


def features(world: World) -> np.ndarray:
    """As its FeatureService makes them of unit vectors: components over the square root of their variance, and 1."""
    pca = joblib.load(ARTIFACTS / "pca_25.joblib")
    z = (world.vectors - pca.mean_) @ pca.components_.T / np.sqrt(pca.explained_variance_)
    return np.hstack([z, np.ones((len(z), 1))])


def warm(world: World) -> bool:
    return set(world.arms) <= set(SHIPPED)


def router(world: World, dim: int, seed: int, **options) -> BanditRouter:
    registry = {}
    for arm, (given_in, given_out) in zip(world.arms, world.prices, strict=True):
        price_in, price_out = SHIPPED.get(arm, (max(given_in, 0.01), max(given_out, 0.01)))
        registry[arm] = {"model_id": arm, "input_cost_per_m": price_in, "output_cost_per_m": price_out}
    hparams = {"forgetting_factor": BEST_K3_HPARAMS["forgetting_factor"]}
    hparams["alpha"] = BEST_K3_HPARAMS["alpha"] if warm(world) else 0.05
    return BanditRouter.create(
        model_registry=registry,
        feature_service=FeatureService.for_precomputed(dim),
        context_store=EphemeralContextStore(),
        priors="warmup" if warm(world) else "none",
        prior_n_effective=BEST_K3_HPARAMS["prior_n_effective"],
        bandit_seed=seed,
        **{**hparams, **options},
    )


def live(world: World, x: np.ndarray, route: BanditRouter, rows) -> tuple[float, float]:
    """Routes and learns; mean cost and quality."""
    spent = won = 0.0
    for row in rows:
        arm, log = route.route(x[row])
        k = world.arms.index(arm)
        log.cost_usd = float(world.cost[row, k])
        route.process_feedback(log.request_id, reward=float(world.quality[row, k]))
        spent, won = spent + world.cost[row, k], won + world.quality[row, k]
    return spent / len(rows), won / len(rows)


def bandit_curve(world: World, x: np.ndarray, seed: int) -> list[list[float]]:
    points = []
    for penalty in PENALTIES if world.priced else (0.0,):
        route = router(world, x.shape[1], seed, cost_penalty=penalty)
        live(world, x, route, world.orders[seed])
        with route.exploit():
            choices = [world.arms.index(route.route(x[row])[0]) for row in range(world.learned, len(x))]
        points.append(world.walk(np.array(choices)))
    return points


def rows(world: World, seeds: int):
    x = features(world)
    start = "its warm-up priors" if warm(world) else "cold"
    name = f"ParetoBandit 0.1.1, {start} (bandit, one learner a penalty)"
    yield name, lambda: [bandit_curve(world, x, seed) for seed in range(seeds)]


def paced(world: World, seeds: int) -> list[dict]:
    """One entry a setting and budget: quality and spend over the scored rows, by seed."""
    x = features(world)
    settings = [("ParetoBandit 0.1.1", {}), ("ParetoBandit 0.1.1, no forgetting", {"forgetting_factor": 1.0})]
    found = []
    for name, options in settings:
        for budget in BUDGETS:
            pairs = []
            for seed in range(seeds):
                pacer = BudgetPacer(budget, PacingMode.ADAPTIVE, lr=0.05, lambda_max=5.0)
                route = router(world, x.shape[1], seed, cost_penalty=0.0, budget_pacer=pacer, **options)
                live(world, x, route, world.orders[seed])
                order = np.random.default_rng(seed).permutation(np.arange(world.learned, len(x)))
                pairs.append(live(world, x, route, order))
            spend, quality = zip(*pairs, strict=True)
            found.append({"name": name, "budget": budget, "quality": list(quality), "spend": list(spend)})
    return found
