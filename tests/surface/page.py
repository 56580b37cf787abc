"""Write docs/flyte2.md: `python -m tests.surface.page > docs/flyte2.md`."""

from __future__ import annotations

import ast
import functools
import importlib
import re
from pathlib import Path
from typing import Any, NamedTuple

from flyte_ray.api.foreign import ABSENT, Absent
from tests.surface.members import CLASSES, COMMANDS, INSTEAD, MEMBERS, find_command, find_member
from tests.surface.table import load_table

TOP = Path(__file__).parent.parent
K1 = {
    "flyte": (
        *("TaskEnvironment", "Resources", "GPU", "TPU", "Device", "Image", "ReusePolicy", "Cache", "CachePolicy"),
        *("CacheRequest", "RetryStrategy", "Backoff", "Timeout", "TimeoutType", "Secret", "SecretRequest", "Trigger"),
        *("Cron", "FixedRate", "TriggerTime", "Link", "Documentation", "run", "with_runcontext", "rerun", "deploy"),
        *("serve", "with_servecontext", "AppHandle", "map", "trace", "group", "custom_context", "get_custom_context"),
        *("new_condition", "ConditionWebhook", "ctx", "init", "init_from_config", "logger", "version", "Checkpoint"),
        *("latest_checkpoint", "run_python_script"),
    ),
    "flyte.app": (
        *("AppEnvironment", "Scaling", "Port", "Link", "Domain", "Parameter", "RunOutput", "AppEndpoint", "Timeouts"),
        *("ctx", "get_parameter"),
    ),
    "flyte.app.extras": ("FastAPIAppEnvironment",),
    "flyte.io": ("File", "Dir", "DataFrame", "HashFunction"),
    "flyte.report": ("log", "replace", "flush", "get_tab"),
    "flyte.durable": ("sleep", "time", "now"),
    "flyte.notify": ("Email", "Slack", "Teams", "Webhook", "Notification"),
}
LIST_OF_NAMES = "::test_the_public_names_are_these"
"""It shows that names are there, and nothing of what they do."""
HEAD = """# Flyte 2's names

Written by `python -m tests.surface.page > docs/flyte2.md`. The names are those that flyte 2.12.1 exports, the committed
table of their signatures (`tests/surface/signatures.json`) is made by `python -m tests.surface.table`.

Below the modules stand the members of its classes and its errors (`tests/surface/members.json`), and its commands.

`K1` keeps name, signature and behaviour, `K2` the name, in Ray's terms. What is there names a test that uses it, found
by the name; `tests/test_surface.py` compares the signatures of K1. `K4` is not there, and says what to use instead.
Settings of Flyte's control plane that calls take (K3) are accepted with one warning and have no effect.

Programs run with the import changed, `import flyte_ray as flyte`, or unchanged with `flyte-ray submit --flyte`.
"""


class Name(NamedTuple):
    """A row."""

    name: str
    level: str
    state: str
    test: str


def find(module: str, name: str) -> Any:
    """Return what stands here for one of Flyte's names; None if nothing does."""
    try:
        return getattr(importlib.import_module(module.replace("flyte", "flyte_ray", 1)), name, None)
    except ModuleNotFoundError:
        return None


def rows_of(module: str) -> list[Name]:
    """Say of each name of a module what becomes of it."""
    rows = []
    for name in sorted(load_table()[module]):
        found = find(module, name)
        if found is None or isinstance(found, Absent):
            top = module.partition(".")[2].partition(".")[0]
            remedy = ABSENT.get(name if module == "flyte" else top, "No counterpart")
            rows.append(Name(name, "K4", remedy, ""))
            continue
        level = "K1" if name in K1.get(module, ()) else "K2"
        rows.append(Name(name, level, "there", find_test(module, name)))
    return rows


def members_of(owner: str) -> list[Name]:
    """Say of each member of a class, or of each error, what becomes of it."""
    rows = []
    for name in MEMBERS[owner]:
        level = "K1" if owner.startswith(("flyte.errors", "flyte.io", "flyte.Image")) else "K2"
        if find_member(owner, name):
            rows.append(Name(name, level, "there", find_test(owner, name)))
        else:
            rows.append(Name(name, "K4", CLASSES.get(owner) or INSTEAD[name], ""))
    return rows


def commands() -> list[Name]:
    """Say of each of Flyte's commands which of ours it is."""
    rows = []
    for theirs, ours in COMMANDS.items():
        if not find_command(ours):
            rows.append(Name(theirs, "K4", ours, ""))
            continue
        called = ", ".join(f'"{word}"' for word in ours.split())
        special = {"run deployed-task": '"deployed-task"', "run python-script": '"python-script"'}
        test = next((place for place, text in all_tests() if special.get(theirs, called) in text), "")
        rows.append(Name(theirs, "K2", "there", test))
    return rows


@functools.cache
def sections() -> dict[str, list[Name]]:
    """Return all rows, by their headings."""
    found = {module: rows_of(module) for module in sorted(load_table())}
    found |= {owner: members_of(owner) for owner in sorted(MEMBERS) if MEMBERS[owner]}
    return {**found, "Commands": commands()}


def find_test(module: str, name: str) -> str:
    """Return the first test that uses a name, those that write it behind its module first; empty without one."""
    last = module.rpartition(".")[2]
    written = (rf"\bflyte\.{name}\b" if module == "flyte" else rf"\b{last}\.(aio\.)?{name}\b", rf"\b{name}\b")
    for pattern in written:
        for place, text in all_tests():
            if re.search(pattern, text) and not place.endswith(LIST_OF_NAMES):
                return place
    return ""


@functools.cache
def all_tests() -> list[tuple[str, str]]:
    """Return all tests with their texts; a file's part outside of tests counts for its first test."""
    found = []
    for path in sorted(TOP.rglob("test_*.py")):
        if path.name == "test_surface.py":  # which names all of them
            continue
        text = path.read_text()
        place = path.relative_to(TOP.parent).as_posix()
        functions = [
            node
            for node in ast.parse(text).body
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
        ]
        inside = [(f"{place}::{node.name}", ast.get_source_segment(text, node) or "") for node in functions]
        found += inside
        if inside:
            found.append((inside[0][0], functools.reduce(lambda rest, pair: rest.replace(pair[1], ""), inside, text)))
    return found


def write_page() -> str:
    """Return the page."""
    parts = [HEAD]
    for heading, rows in sections().items():
        parts += [f"## {heading}\n", "| name | | state | test |", "|---|---|---|---|"]
        parts += [f"| `{row.name}` | {row.level} | {row.state} | {row.test} |" for row in rows]
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


if __name__ == "__main__":
    print(write_page(), end="")
