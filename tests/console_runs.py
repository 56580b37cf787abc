"""Runs to be looked at in the console: a nightly training with groups, traces, a table, a report and a failure."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pandas as pd
import pyarrow as pa

import flyte_ray as flyte
from flyte_ray.io import File

env = flyte.TaskEnvironment("nightly", resources=flyte.Resources(cpu=1, memory="512Mi"), env_vars={"STAGE": "test"})

HOSTILE = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>'

QUESTION = """## Write to production?

- **12** parts are clean
- the loss is `0.333`

See [the handbook](https://example.com/handbook).
"""


@flyte.trace
async def ask(question: str) -> float:
    await asyncio.sleep(0.01)
    return len(question) / 7


@env.task(retries=2)
async def clean(part: int) -> int:
    """Read one part; part 3 needs two attempts."""
    print(*(f"part {part}, row {row}: ok" for row in range(300)), sep="\n")
    if part == 3 and flyte.ctx().attempt_number == 0:
        raise ConnectionError("the source did not answer")
    await asyncio.sleep(0.02 + part / 200)
    return part * 1000


@env.task(cache="auto")
async def score(model: str, depth: int) -> float:
    await asyncio.sleep(0.05)
    return await ask(f"how good is {model} at depth {depth}?")


@env.task(report=True)
async def train(parts: list[int], epochs: int = 6) -> pa.Table:
    rows = []
    for epoch in range(epochs):
        loss = 2.0 / (epoch + 1)
        print(f"epoch {epoch}: loss {loss:.3f}")
        rows.append({"epoch": epoch, "loss": loss, "note": "best so far" if epoch == epochs - 1 else ""})
        flyte.report.log(f"<p>epoch {epoch}: {loss:.3f}</p>", do_flush=True)
        await asyncio.sleep(0.01)
    flyte.report.get_tab("table").log(pd.DataFrame(rows))
    return pa.Table.from_pylist(rows * 200)


@env.task
def figure() -> File:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(figsize=(5, 2.5))
    axes.plot([2 / (n + 1) for n in range(20)])
    file: File = File.new_remote("loss.png")
    with file.open_sync("wb") as opened:
        drawn.savefig(opened)
    plt.close(drawn)
    return file


@env.task
async def publish(table: pa.Table, where: dict[str, object]) -> str:
    print(f"publishing {table.num_rows} rows to {where}")
    raise ValueError(f"the catalogue has no dataset {where['dataset']!r}")


@env.task
async def main(parts: int = 12, dataset: str = "sales", tags: list[str] | None = None) -> str:
    with flyte.group("clean"):
        cleaned = await asyncio.gather(*(clean(part) for part in range(parts)))
    with flyte.group("search"):
        await asyncio.gather(*(score(name, depth) for name in ("forest", "linear") for depth in range(4)))
    table = await train(cleaned)
    await figure.aio()
    return await publish(table, {"dataset": dataset, "tags": tags, "options": {"mode": "append", "checks": [1, 2, 3]}})


@env.task
async def review(limit: float = 0.8) -> bool:
    """Ask a person, with the question in Markdown."""
    condition = flyte.new_condition(
        "approval", QUESTION, prompt_type="markdown", description="Asked each night.", timeout=600
    )
    return await condition.wait.aio()


@env.task
async def wait_for(path: str, rounds: int = 6000) -> int:
    """Print until a file is there: what a browser follows while it goes on."""
    for number in range(rounds):
        print(f"round {number}")
        if await asyncio.to_thread(Path(path).exists):
            return number
        await asyncio.sleep(0.05)
    raise TimeoutError("nobody made the file")


@env.task
async def follow(path: str, width: int = 3) -> int:
    with flyte.group("before"):
        await asyncio.gather(*(clean(part) for part in range(width)))
    return await wait_for(path)


@env.task
async def ask_twice() -> bool:
    answers = [await flyte.new_condition(name, f"Is it {name}?", timeout=60).wait.aio() for name in ("new", "good")]
    return all(answers)


@env.task(report=True)
async def hostile(text: str = HOSTILE) -> str:
    print(text)
    flyte.report.log(
        f"<h1>hostile report</h1>{text}<script>try {{ parent.hurt = 1 }} catch {{}};"
        "try { parent.document.title = 'hurt' } catch {};document.title='ran'</script>"
    )
    with flyte.group(text):
        await asyncio.gather(*(ask_named(part) for part in range(2)))
    condition = flyte.new_condition(
        "asked", text + "[x](javascript:window.hurt=1)", prompt_type="markdown", timeout=600
    )
    await condition.wait.aio()
    raise ValueError(text)


@env.task(short_name=HOSTILE)
async def ask_named(part: int) -> str:
    return HOSTILE * (part + 1)


def local(task: object, name: str, labels: dict[str, str] | None = None, **inputs: object) -> flyte.Run:
    """Run a task in this process; what it raises is on record, and not raised here."""
    return flyte.with_runcontext("local", name=name, labels=labels or {}).run(task, **inputs)
