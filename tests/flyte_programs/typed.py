"""Dataclasses, pydantic models, enums and optional values travel."""

from dataclasses import dataclass
from enum import Enum

import flyte
from pydantic import BaseModel

env = flyte.TaskEnvironment("typed")


class Kind(str, Enum):
    SMALL = "small"
    LARGE = "large"


@dataclass
class Point:
    x: int
    y: int = 2


class Report(BaseModel):
    kind: Kind
    points: list[Point]
    note: str | None = None


@env.task
def build(points: list[Point], kind: Kind) -> Report:
    return Report(kind=kind, points=points)


@env.task
def main() -> dict[str, int]:
    report = build([Point(1), Point(x=3, y=4)], Kind.LARGE)
    return {"points": len(report.points), "sum": sum(p.x + p.y for p in report.points), "note": len(report.note or "")}
