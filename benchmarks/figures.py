"""Hold what was measured, with its spread, beside what is to be reached, and print it: JSON lines and a table. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One row: something that was measured several times, each time with its baseline just before it."""

    work: str
    unit: str
    """Of both sides: `/s`, `ms`, `s` or `MB`."""
    mine: Sequence[float]
    baseline: Sequence[float] = ()
    """As many as of `mine`; empty where what is to be reached is no ratio."""
    against: str = ""
    """What the baseline is."""
    at_least: float | None = None
    """The ratio, or without a baseline the figure, must reach this."""
    at_most: float | None = None
    """It must not exceed this."""
    note: str = ""

    @property
    def ratios(self) -> list[float]:
        """What counts: ours divided by the baseline, or ours alone."""
        if not self.baseline:
            return list(self.mine)
        return [mine / theirs for mine, theirs in zip(self.mine, self.baseline, strict=True)]

    @property
    def median(self) -> float:
        """The middle one of the ratios."""
        return statistics.median(self.ratios)

    @property
    def reach(self) -> str:
        """What is to be reached, as text."""
        mark = "x" if self.baseline else f" {self.unit}"
        if self.at_least is not None:
            return f">= {self.at_least:g}{mark}"
        return f"<= {self.at_most:g}{mark}" if self.at_most is not None else "-"

    @property
    def is_reached(self) -> bool | None:
        """Whether the median reaches it; None where nothing is asked for."""
        if self.at_least is not None:
            return self.median >= self.at_least
        return self.median <= self.at_most if self.at_most is not None else None

    def line(self) -> str:
        """Write as one line of JSON."""
        return json.dumps(
            {
                "work": self.work,
                "unit": self.unit,
                "flyte_ray": rounded(self.mine),
                "baseline": rounded(self.baseline),
                "against": self.against,
                "median": float(f"{self.median:.4g}"),
                "reach": self.reach,
                "reached": self.is_reached,
                "note": self.note,
            }
        )

    def cells(self) -> tuple[str, ...]:
        """Write as one row of the table."""
        mark = "x" if self.baseline else ""
        ratio = f"{self.median:.3g}{mark} ({min(self.ratios):.3g} to {max(self.ratios):.3g})"
        theirs = f"{shown(self.baseline, self.unit)} ({self.against})" if self.baseline else "-"
        verdict = {None: "", True: "yes", False: "NO"}[self.is_reached]
        return self.work, theirs, shown(self.mine, self.unit), ratio, self.reach, verdict, self.note


HEADINGS = ("work", "baseline", "flyte-ray", "median (spread)", "reach", "reached", "")


def table(figures: Sequence[Figure]) -> str:
    """Write an aligned table."""
    rows = [HEADINGS, *(figure.cells() for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths).rstrip(), *lines[1:]])


def shown(values: Sequence[float], unit: str) -> str:
    """Write the median of some values."""
    middle = statistics.median(values)
    return f"{middle:,.0f}{unit}" if unit == "/s" else f"{middle:.3g} {unit}"


def rounded(values: Sequence[float]) -> list[float]:
    """Leave out digits that mean nothing."""
    return [float(f"{value:.4g}") for value in values]


@dataclass
class Figures:
    """Collects figures, and prints each as it comes."""

    all: list[Figure] = field(default_factory=list)

    def take(self, figure: Figure) -> None:
        """Keep one and print its line."""
        self.all.append(figure)
        print(figure.line(), flush=True)

    def print_machine(self, about: dict[str, Any]) -> None:
        """Print what was measured on."""
        print(json.dumps(about), flush=True)
