"""scikit-learn regressors that are told what every arm did on every prompt learned from."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from world import World


def curve(world: World, quality: np.ndarray, cost: np.ndarray) -> list[list[float]]:
    """Each value of the grid takes the arm of the highest quality - cost / value."""
    return [world.walk(np.argmax(quality - cost / value, axis=1)) for value in world.grid]


def targets(world: World) -> np.ndarray:
    """Quality, then cost in units of the arm's mean, so that all weigh alike in a joint fit."""
    return np.hstack([world.quality, world.cost / scale(world)])[: world.learned]


def scale(world: World) -> np.ndarray:
    """The arms' mean costs, shape [k]."""
    means = world.cost[: world.learned].mean(axis=0)
    return np.where(means > 0.0, means, 1.0)


def split(world: World, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    k = len(world.arms)
    return predicted[:, :k], np.maximum(predicted[:, k:], 0.0) * scale(world)


def knn(world: World, neighbours: int):
    model = KNeighborsRegressor(neighbours, metric="cosine", algorithm="brute")
    model.fit(world.vectors[: world.learned], targets(world))
    return split(world, model.predict(world.vectors[world.scored]))


def kmeans(world: World, clusters: int):
    learned, scored = world.vectors[: world.learned], world.vectors[world.scored]
    model = KMeans(clusters, n_init=4, random_state=0).fit(learned)
    y = targets(world)
    means = np.stack([y[model.labels_ == c].mean(axis=0) for c in range(clusters)])
    return split(world, means[model.predict(scored)])


def features(world: World) -> tuple[np.ndarray, np.ndarray]:
    """The router's own, without the constant."""
    x = StandardScaler().fit_transform(world.contexts[:, :-1])
    return x[: world.learned], x[world.scored]


def ridge(world: World):
    learned, scored = features(world)
    model = RidgeCV(alphas=np.logspace(0, 4, 17), alpha_per_target=True).fit(learned, targets(world))
    return split(world, model.predict(scored))


def svm(world: World):
    learned, scored = features(world)
    y = targets(world)
    used = range(y.shape[1] if world.priced else len(world.arms))
    predicted = np.zeros((scored.shape[0], y.shape[1]))
    for j in used:
        spread = y[:, j].std() or 1.0
        model = SVR(C=0.1, epsilon=0.1, gamma="scale").fit(learned, y[:, j] / spread)
        # The epsilon tube aims at a median: move the mean back to that of what was learned from.
        shift = (y[:, j] / spread - model.predict(learned)).mean()
        predicted[:, j] = (model.predict(scored) + shift) * spread
    return split(world, predicted)


def mlp(world: World):
    learned, scored = features(world)
    y = targets(world)
    middle = y.mean(axis=0)
    model = MLPRegressor(hidden_layer_sizes=(32,), early_stopping=True, random_state=0)
    return split(world, model.fit(learned, y - middle).predict(scored) + middle)


def rows(world: World):
    """Name and curves of each; one curve, as nothing here depends on the order of the stream."""
    kinds = [
        ("scikit-learn kNN 40", lambda: knn(world, 40)),
        ("scikit-learn kNN 100", lambda: knn(world, 100)),
        ("scikit-learn k-means 16", lambda: kmeans(world, 16)),
        ("scikit-learn k-means 64", lambda: kmeans(world, 64)),
        ("scikit-learn ridge", lambda: ridge(world)),
        ("scikit-learn SVM", lambda: svm(world)),
        ("scikit-learn MLP", lambda: mlp(world)),
    ]
    for name, predict in kinds:
        yield f"{name} (full labels)", lambda predict=predict: [curve(world, *predict())]
