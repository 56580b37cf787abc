"""Measure all that is to be reached, in one session on one machine; print JSON lines and then one table.

Usage, from the top of the project: `make bench`, or `python -m benchmarks [--only NAME ...] [--repeat N]`.
Each figure is measured beside its baseline, in turns, after both were warmed up.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import ray

from benchmarks import chain, cpu, fairness, fan_out, hello, large, many_runs, pools, shell, stores, tree
from benchmarks.figures import Figures, table
from benchmarks.measuring import CORES, session

QUESTIONS = (fan_out, chain, tree, cpu, pools, many_runs, fairness, large, shell, stores, hello)
"""`stores` and `hello` stand last: they end this session's Ray and start another."""


def main() -> None:
    """Measure what was asked for."""
    names = {each.__name__.rpartition(".")[2]: each for each in QUESTIONS}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"of: {', '.join(names)}")
    parser.add_argument("--repeat", type=int, default=3, help="measures per figure (default 3)")
    parser.add_argument("--mode", choices=("ray", "local"), default="ray", help="where flyte-ray's runs run")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # as users have it: else each process compiles our modules anew
    figures = Figures()
    figures.print_machine(
        {
            "python": sys.version.split()[0],
            "ray": ray.__version__,
            "cores": f"{CORES} of {os.cpu_count()}",
            "load": [round(each, 1) for each in os.getloadavg()],
            "mode": options.mode,
            "repeat": options.repeat,
        }
    )
    begin, failed = time.monotonic(), False
    with session(options.mode, options.repeat) as bench:
        for name, question in names.items():
            if options.only and name not in options.only:
                continue
            print(f"{time.monotonic() - begin:4.0f} s: {name} ...", file=sys.stderr, flush=True)
            try:
                for figure in question.measure(bench):
                    figures.take(figure)
            except Exception as error:
                failed = True
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    print(table(figures.all))
    print(f"{time.monotonic() - begin:.0f} s in all, load {os.getloadavg()[0]:.1f} at the end")
    sys.exit(failed)


if __name__ == "__main__":
    main()
