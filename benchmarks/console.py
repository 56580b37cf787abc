"""Measure what the console takes with 50,000 actions in a run and 5,000 runs in a root; print one table.

Usage, from the top of the project: `python -m benchmarks.console [--root DIR] [--make | --made]`; with `--make` it only
writes the two, and prints how to look at them. Client, browser and server share the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.console_pages import measure_pages
from benchmarks.figures import Figure, Figures, table
from flyte_ray.ledger import events as kinds
from flyte_ray.ledger.events import Event
from flyte_ray.ledger.listing import list_end, list_run
from flyte_ray.ledger.log import RunLog
from flyte_ray.ledger.messages import TaskRef
from flyte_ray.ledger.paths import spec_key
from flyte_ray.ledger.recorder import RunRecorder
from flyte_ray.ledger.requests import Start
from flyte_ray.ledger.snapshot import write_snapshot
from flyte_ray.ledger.verdicts import failure, lost
from flyte_ray.spec.ids import RunId
from flyte_ray.storage import Store, open_store

ACTIONS = 50_000
RUNS = 5_000
WIDE = 200
"""Children of each group of the large run."""
LARGE = "large"
ERROR = failure("ValueError", "user", "row 7 has no price")
TASKS = {
    name: TaskRef(f"shop.{name}", "shop", name, None, "s", "{}", 2, None, False)
    for name in ("main", "prepare", "train", "score")
}


def make_run(store: Store, name: str, actions: int, started_us: int, *, fails: bool = False) -> None:
    """Put a run on record that has ended: groups of `WIDE` actions, some retried, some lost, some with traces."""
    run, root = RunId(name), TASKS["main"]
    about = {"mode": "local", "labels": {"made": "by benchmark"}, "source": "shop.py", "code": None, "owner": "me@here"}
    start = Start(run, uuid.uuid4().hex, root, json.dumps({"count": actions}), about=about)
    spec = start.spec(started_us)
    store.put_if_absent(spec_key(run), json.dumps(spec).encode())
    list_run(store, run, spec)
    recorder = RunRecorder(run, RunLog(store, run, uuid.uuid4().hex), "benchmark")
    for event in _events(actions, started_us, fails):
        recorder.record(event)
    recorder.commit()
    write_snapshot(store, recorder.state, recorder.position)
    list_end(store, spec, recorder.state)
    recorder.close()


def _events(actions: int, at: int, fails: bool) -> Iterator[Event]:
    """Tell the events of a run in the order of their time."""
    dice = random.Random(actions)
    for ref in TASKS.values():
        yield Event(kinds.TASK, at, task=ref.key, body=json.dumps(ref))
    yield Event(kinds.CALLED, at, "a0", task=TASKS["main"].key, body=json.dumps({"count": actions}))
    yield Event(kinds.STARTED, at := at + 5_000, "a0", slot="s0")
    made, group, bad = 1, 0, actions // 2 if fails else -1
    while made < actions:
        parent = f"{dice.getrandbits(96):024x}"
        yield Event(kinds.CALLED, at := at + 900, parent, 0, "a0", TASKS["prepare"].key, f"part {group}", body="{}")
        yield Event(kinds.STARTED, at := at + 700, parent, slot="s0")
        made, group = made + 1, group + 1
        names = [f"{dice.getrandbits(96):024x}" for _ in range(min(WIDE, actions - made))]
        for name in names:
            task = TASKS["train" if dice.random() < 0.8 else "score"].key
            inputs = json.dumps({"row": made, "text": "x" * dice.randrange(60)})
            yield Event(kinds.CALLED, at := at + 100, name, 0, parent, task, body=inputs)
        is_bad = made < bad <= made + len(names)
        for name in names:
            made += 1
            for event in _life(name, at, dice, made == bad):
                at = event.at
                yield event
        kind, body = (kinds.FAILED, ERROR) if is_bad else (kinds.SUCCEEDED, json.dumps({"rows": len(names)}))
        yield Event(kind, at := at + 500, parent, slot="s0", body=body)
    if fails:
        yield Event(kinds.FAILED, at + 900, "a0", body=ERROR)
    else:
        yield Event(kinds.SUCCEEDED, at + 900, "a0", body="42")


def _life(name: str, at: int, dice: random.Random, fails: bool) -> Iterator[Event]:
    slot, attempt = f"s{dice.randrange(8)}", 0
    yield Event(kinds.STARTED, at := at + dice.randrange(100, 900), name, attempt, slot=slot)
    if dice.random() < 0.02:
        yield Event(kinds.RETRIED, at := at + 2_000, name, attempt, body=failure("OSError", "user", "not reached"))
        yield Event(kinds.STARTED, at := at + 500, name, attempt := attempt + 1, slot=slot)
    if dice.random() < 0.01:
        reason = lost("the node is gone", "node", to_blame=False, ready_us=0)
        yield Event(kinds.LOST, at := at + 2_000, name, attempt, body=reason)
        yield Event(kinds.STARTED, at := at + 500, name, attempt := attempt + 1, slot=slot)
    if dice.random() < 0.05:
        body = json.dumps({"inputs": {"n": 1}, "started_us": at, "ended_us": at + 300, "output": 2})
        yield Event(kinds.TRACED, at := at + 300, name, attempt, task=f"shop.ask@{name[:12]}", body=body)
    if dice.random() < 0.02:
        text = "".join(f"line {number} of {name}\n" for number in range(20))
        context = json.dumps({"from": 0, "to": len(text)})
        yield Event(kinds.LOGGED, at, name, attempt, body=text, context=context)
    at += dice.randrange(200, 3_000)
    if fails:
        yield Event(kinds.FAILED, at, name, attempt, body=ERROR)
    else:
        yield Event(kinds.SUCCEEDED, at, name, attempt, body=json.dumps({"score": dice.random()}))


def make(store: Store, actions: int = ACTIONS, runs: int = RUNS) -> None:
    """Put one large run and many small ones on record; the large one is the newest."""
    now = time.time_ns() // 1000
    for number in range(runs):
        make_run(store, f"small-{number:05d}", 3, now - (runs - number) * 60_000_000, fails=number % 10 == 0)
    make_run(store, LARGE, actions, now - 1_000_000, fails=True)


@contextmanager
def served(root: str) -> Iterator[tuple[str, int]]:
    """Serve the console of a root as a user does; yields its URL and its process."""
    words = [sys.executable, "-m", "flyte_ray.cli.main", "console", "--root", root, "--port", "0"]
    environ = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1].rstrip("/"), process.pid
        finally:
            process.terminate()


def ask(url: str) -> tuple[float, bytes]:
    """Ask once; milliseconds, and the answer."""
    begin = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    return (time.perf_counter() - begin) * 1e3, body


def peak_mb(pid: int) -> float:
    """The most memory that a process had."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def measure(root: str, repeat: int) -> Iterator[Figure]:
    """Ask a console that has just been started, and the same things again."""
    with served(root) as (url, pid):
        first, _ = ask(f"{url}/api/runs?limit=100")
        yield Figure("list of runs, first time", "ms", [first], at_most=500)
        yield _again("list of runs", f"{url}/api/runs?limit=100", repeat, 500)
        yield _again("list of failed runs", f"{url}/api/runs?phase=failed&limit=100", repeat, 500)
        cold, body = ask(f"{url}/api/runs/{LARGE}/table")
        ids = json.loads(body)["id"]
        size = f"{len(ids):,} actions, {len(body) / 1e6:.1f} MB"
        yield Figure("tree of a run, first time", "ms", [cold], at_most=1000, note=size)
        yield _again("tree of a run", f"{url}/api/runs/{LARGE}/table", repeat, 100)
        yield _again("a run", f"{url}/api/runs/{LARGE}", repeat, 100)
        chosen = random.Random(1).sample(ids, repeat)
        actions = [ask(f"{url}/api/runs/{LARGE}/actions/{each}")[0] for each in chosen]
        yield Figure("an action, each another one", "ms", actions, at_most=100)
        logs = [ask(f"{url}/api/runs/{LARGE}/actions/{each}/logs")[0] for each in chosen]
        yield Figure("its log", "ms", logs, at_most=100)
        yield Figure("memory of the server, at most", "MB", [peak_mb(pid)], at_most=300)


def _again(work: str, url: str, repeat: int, at_most: float) -> Figure:
    return Figure(work, "ms", [ask(url)[0] for _ in range(repeat)], at_most=at_most)


def main() -> None:
    """Make what is asked, and measure it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--root", help="where to write (default: a folder that is removed)")
    parser.add_argument("--make", action="store_true", help="only write the runs")
    parser.add_argument("--made", action="store_true", help="they are written already")
    parser.add_argument("--actions", type=int, default=ACTIONS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = options.root or folder
        if not options.made:
            make(open_store(root), options.actions, options.runs)
        if options.make:
            print(f"flyte-ray console --root {root}")
            return
        figures = Figures()
        figures.print_machine({"cores": os.cpu_count(), "load": [round(each, 1) for each in os.getloadavg()]})
        for figure in measure(root, options.repeat):
            figures.take(figure)
        with served(root) as (url, _):
            for figure in measure_pages(url, LARGE, options.repeat):
                figures.take(figure)
        print(table(figures.all))


if __name__ == "__main__":
    main()
