"""Say what a notebook's kernel, which this process may be, knows: its shell, and which code is of which cell.

Invariant: imports nothing of IPython, which is there if this process is a kernel.
"""

from __future__ import annotations

import linecache
import re
import sys
from typing import Any, Final

_FRAME: Final = re.compile(r'^(?P<indent>[ |+-]*)File "(?P<file>[^"]+)", line (?P<line>\d+)(?P<rest>.*)$')


def kernel_shell() -> Any:
    """Return IPython's shell where this process is a notebook's kernel, else None."""
    ipython = sys.modules.get("IPython")
    get = getattr(ipython, "get_ipython", None)  # another thread may be importing it at this moment
    shell = get() if get is not None else None
    return shell if hasattr(shell, "kernel") else None


def name_cells(told: str) -> str:
    """Name the cells of this kernel in a traceback in place of their files, as `Cell In[3]`, with their lines of code.

    Where an action ran the files are not, so that its traceback has none of the code.
    """
    name = getattr(getattr(kernel_shell(), "compile", None), "format_code_name", None)
    if name is None:
        return told
    lines = told.splitlines()
    written = []
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        found = _FRAME.match(line)
        label = name(found["file"]) if found else None
        if found is None or label is None:
            written.append(line)
            continue
        indent = found["indent"]
        written.append(f"{indent}{' '.join(label)}, line {found['line']}{found['rest']}")
        code = linecache.getline(found["file"], int(found["line"])).strip()
        if code and not following.startswith(f"{indent}  "):
            written.append(f"{indent}  {code}")
    return "\n".join(written) + ("\n" if told.endswith("\n") else "")
