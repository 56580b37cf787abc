"""Find settings of a small classifier: one action per candidate, on the digits that scikit-learn ships."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

import flyte_ray as flyte

env = flyte.TaskEnvironment("sweep")


class Candidate(BaseModel):
    """Settings to try: `depth` bounds each tree."""

    trees: int
    depth: int


class Score(BaseModel):
    """How well a candidate did; `accuracy` is the mean over the folds, from 0 to 1."""

    candidate: Candidate
    accuracy: float


def candidates(trees: list[int], depths: list[int]) -> list[Candidate]:
    return [Candidate(trees=count, depth=depth) for count in trees for depth in depths]


@env.task(retries=1)
def evaluate(candidate: Candidate, folds: int, seed: int) -> Score:
    # scikit-learn takes a second to import, which only the process that trains should pay.
    from sklearn.datasets import load_digits
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import cross_val_score

    images, labels = load_digits(return_X_y=True)
    model = RandomForestClassifier(candidate.trees, max_depth=candidate.depth, random_state=seed)
    return Score(candidate=candidate, accuracy=float(cross_val_score(model, images, labels, cv=folds).mean()))


@env.task
async def sweep(
    trees: list[int] = [5, 20],  # noqa: B006 - a task's defaults are recorded, never changed
    depths: list[int] = [4, 8],  # noqa: B006
    folds: int = 3,
    seed: int = 0,
) -> Score:
    """Score every combination of `trees` and `depths` and return the best."""
    scores = await asyncio.gather(*(evaluate.aio(item, folds, seed) for item in candidates(trees, depths)))
    return max(scores, key=lambda score: score.accuracy)
