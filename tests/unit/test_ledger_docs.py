"""docs/ledger.md says what the code does: its tables and diagram are compared, and its code is run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import flyte_ray as flyte
from flyte_ray.ledger import blocks as ledger_blocks
from flyte_ray.ledger.blocks import BLOCK
from flyte_ray.ledger.events import CALLED, KINDS, arrow_schema
from flyte_ray.ledger.log import RunLog
from flyte_ray.ledger.paths import (
    address_key,
    app_data_key,
    app_key,
    block_key,
    cache_key,
    called_key,
    code_key,
    data_place,
    fired_key,
    lease_key,
    notified_key,
    queue_key,
    secret_key,
    segment_key,
    signal_key,
    snapshot_key,
    spec_key,
    task_key,
    token_key,
    trigger_data_place,
    trigger_key,
)
from flyte_ray.ledger.state import TRANSITIONS
from flyte_ray.spec.ids import RunId
from flyte_ray.spec.phase import ActionPhase
from flyte_ray.storage import open_store

DOCS = (Path(__file__).parent.parent.parent / "docs" / "ledger.md").read_text()

env = flyte.TaskEnvironment("ledger_docs")


@env.task
def square(x: int) -> int:
    return x * x


@env.task
def squares(n: int) -> int:
    return sum(square(x) for x in range(n))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, flags=re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[list[str]]:
    table = DOCS.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].split("\n")[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in table]


def mermaid() -> str:
    """Draw the transition table: one arrow per pair of phases, with all events that lead along it."""
    arrows: dict[tuple[ActionPhase, ActionPhase], list[str]] = {}
    for (kind, before), after in TRANSITIONS.items():
        arrows.setdefault((before, after), []).append(kind)
    lines = ["stateDiagram-v2", f"    [*] --> {ActionPhase.QUEUED.name}: {CALLED}"]
    lines += [f"    {before.name} --> {after.name}: {', '.join(names)}" for (before, after), names in arrows.items()]
    ends = dict.fromkeys(after for _, after in arrows if after.is_terminal)
    return "\n".join([*lines, *(f"    {phase.name} --> [*]" for phase in ends)]) + "\n"


def test_the_diagram_is_the_transition_table() -> None:
    assert blocks("mermaid") == [mermaid()], f"docs/ledger.md should hold this diagram:\n{mermaid()}"


def test_the_table_of_events_names_every_kind_and_no_other() -> None:
    assert [row[0] for row in rows("Kind")] == list(KINDS)


def test_the_table_of_columns_is_the_schema() -> None:
    assert [row[:2] for row in rows("Column")] == [[field.name, str(field.type)] for field in arrow_schema()]


def test_the_tree_of_files_names_every_path_as_the_code_makes_it() -> None:
    run = RunId("<run>")
    made = {
        spec_key(run),
        segment_key(run, 0),
        block_key(run, 0, BLOCK - 1),
        snapshot_key(run),
        data_place(run, {}),
        lease_key(run),
    }
    made |= {code_key("<digest>"), "index/<inverse time>-<run>.json", "cache/<2 hex>/<key>.json"}
    made |= {key(run, "<action>", 0).replace("-0", "-<number>") for key in (signal_key, called_key)}
    made |= {notified_key(run, 7, 8).replace("7-8", "<end>-<place>")}
    made |= {app_key("<name>", 0).replace("00000000", "<revision>"), address_key("<name>"), token_key("<id>")}
    made |= {secret_key("<name>")}
    made |= {queue_key("<name>")}
    made |= {"ended/<inverse time>-<run>-<end>.json", "listed/<inverse time>-<run>-<digest>.json"}
    made |= {app_data_key("<digest>", "<name>"), task_key("<name>", 0).replace("00000000", "<revision>")}
    trigger = "<task>", "<name>"
    made |= {fired_key(*trigger), trigger_data_place(*trigger), f"triggers/{'/'.join(trigger)}/<revision>.json"}
    assert trigger_key(*trigger, 1) == "triggers/<task>/<name>/00000001.json"
    assert cache_key("0a1b") == "cache/0a/0a1b.json"
    assert {row[0] for row in rows("Path below the root")} == made


@pytest.mark.parametrize("packed", [False, True])
def test_the_code_reads_a_runs_log(tmp_path: Path, packed: bool) -> None:
    pytest.importorskip("pandas")
    flyte.init(root=tmp_path)
    flyte.with_runcontext("local", name="shown").run(squares, 3)
    if packed:
        log = RunLog(open_store(tmp_path), RunId("shown"), "writer")
        log.open("holder", 0, lambda event: None)
        with mock.patch.object(ledger_blocks, "BLOCK", 2):
            assert log.pack()
    names: dict[str, Any] = {"root": tmp_path, "name": "shown"}
    for block in blocks("python"):
        exec(block, names)  # the page's own text: it shall run as it stands
    kinds = names["log"]["kind"].to_pylist()
    assert kinds[0] == "OPEN" and kinds.count("SUCCEEDED") == 4
    slowest = names["slowest"]
    assert slowest.index[0] == "a0", "the root lasts longer than its children"
    assert [task.split("@")[0].split(".")[1] for task in slowest["task"]] == ["squares", "square", "square", "square"]
    assert (slowest["ran"] >= slowest["ran"].iloc[-1]).all()
