"""Keep Flyte 2's public names and signatures as a table: `signatures.json` beside this file.

`python -m tests.surface.table` reads an installed flyte; where there is none, `--from FILE` reads the list of an
introspected 2.12.1, lines such as `- name* (parameters) -> result` below `**flyte.module**`.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import re
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("signatures.json")
MODULES = (
    *("flyte", "flyte.app", "flyte.app.extras", "flyte.io", "flyte.io.extend", "flyte.report", "flyte.storage"),
    *("flyte.types", "flyte.durable", "flyte.extras", "flyte.git", "flyte.notify", "flyte.sandbox", "flyte.artifacts"),
    *("flyte.clustered", "flyte.ai.agents", "flyte.prefetch", "flyte.extend", "flyte.config"),
)
Table = dict[str, dict[str, str]]
"""Signature by name, by module; empty for what is no callable."""


def load_table() -> Table:
    """Read the table that is committed."""
    found: Table = json.loads(TABLE.read_text())
    return found


def parameters_of(signature: str) -> list[tuple[str, bool, bool]]:
    """Return name, whether it is required, and whether it may be given by position, of each parameter."""
    found = []
    by_position = True
    for part in _split(signature):
        if part in ("*", "/"):
            by_position = by_position and part == "/"
            continue
        if part.startswith("*"):
            by_position = False
            continue
        name = part.partition(":")[0].partition("=")[0].strip()
        found.append((name, " = " not in part and "=…" not in part, by_position))
    return found


def _split(signature: str) -> list[str]:
    """Divide at the commas that stand in no brackets."""
    parts, depth, part = [], 0, ""
    for sign in signature:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += sign
    return [each for each in (*parts, part.strip()) if each]


def read_list(text: str) -> Table:
    """Read the list of an introspected flyte."""
    table: Table = {}
    module = None
    for line in text.splitlines():
        if heading := re.match(r"\*\*(flyte[\w.]*)\*\*", line):
            module = table.setdefault(heading[1], {})
        elif line.startswith("## "):
            module = None
        elif module is not None and (row := re.match(r"- (\w+)\*? ?(.*)$", line)):
            is_call = row[2].startswith("(") and not re.match(r"\((protocol|type alias|module|enum)\)", row[2])
            module[row[1]] = _inside(row[2]) if is_call else ""
    for rows in table.values():
        bases = {**table.get("flyte.app", {}), **table.get("flyte", {})}
        for name, signature in rows.items():
            if inherited := re.match(r"(\w+) fields(?: \+ )?", signature):
                rows[name] = f"{bases.get(inherited[1], '')}, {signature[inherited.end() :]}".strip(", ")
    return {name: rows for name, rows in table.items() if rows}


def _inside(text: str) -> str:
    depth = 0
    for place, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        if depth == 0:
            return text[1:place]
    return text[1:]  # the list has cut it off


def read_installed() -> Table:
    """Introspect an installed flyte."""
    table: Table = {}
    for name in MODULES:
        module: Any = importlib.import_module(name)
        names = getattr(module, "__all__", [each for each in vars(module) if not each.startswith("_")])
        table[name] = {each: _signature(getattr(module, each)) for each in sorted(names)}
    return table


def _signature(value: Any) -> str:
    try:
        return str(inspect.signature(value)).partition(") -> ")[0].strip("()")
    except (TypeError, ValueError):
        return ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.surface.table")
    parser.add_argument("--from", dest="file", type=Path, help="an introspected list, where flyte is not installed")
    chosen = parser.parse_args().file
    made = read_list(chosen.read_text().split("## Appendix B")[0]) if chosen else read_installed()
    TABLE.write_text(json.dumps(made, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
