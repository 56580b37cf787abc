"""Ask the HTTP API whatever its OpenAPI allows, and look that nothing outside of its root is reached.

Schemathesis makes requests for as long as is asked for, half of them of a run that there is, and fails for each answer
of 500 and above; beside the root stands a file that no request may change. No part of CI, which has the properties of
tests/unit/test_paths.py: it runs for as long as one lets it.

    python -m benchmarks.fuzz --seconds 600

Schemathesis is no dependency of ours: `make fuzz` installs it, or its folder stands in PYTHONPATH.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import flyte_ray as flyte
from flyte_ray.app.extras import HTTPAPIEnvironment
from tests.ray_cluster import free_port

env = flyte.TaskEnvironment("fuzzed")
KEPT = "what lies beside the root"


@env.task
def add(a: int, b: list[float], c: str = "") -> str:
    """Add numbers."""
    print(c)
    return f"{a + sum(b)}{c}"


@env.task
def ask(name: str = "sure") -> bool:
    """Wait for a signal, for a second."""
    return flyte.new_condition(name, "Sure?", timeout=1).wait()


def main() -> int:
    """Serve the API, fuzz it, and look whether what lies beside the root is as it was."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("words", nargs="*", help="More words for Schemathesis, after --.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        beside = Path(folder, "spec.json")
        beside.write_text(f'{{"secret": "{KEPT}"}}')
        flyte.init(root=Path(folder, "root"))
        flyte.with_runcontext("local", name="first").run(add, 1, [2.0], "x")
        served = HTTPAPIEnvironment(tasks=[add, ask], port=free_port())
        with flyte.with_servecontext(mode="local").serve(served).ephemeral_ctx_sync():
            failed = _fuzz(served.endpoint, given.seconds // 2, given.words)
            known = Path(folder, "schemathesis.toml")  # half of the time of a run that there is
            known.write_text('[parameters]\nrun = "first"\naction = "a0"\n')
            failed |= _fuzz(served.endpoint, given.seconds // 2, given.words, known)
            known.unlink()
        found = sorted(str(path.relative_to(folder)) for path in Path(folder).iterdir())
        if found != ["root", "spec.json"] or beside.read_text() != f'{{"secret": "{KEPT}"}}':
            print(f"beside the root there should be spec.json as it was, but there is {found}")
            return 1
    return failed


def _fuzz(endpoint: str, seconds: int, words: list[str], config: Path | None = None) -> int:
    command = [sys.executable, "-m", "schemathesis.cli", *(["--config-file", str(config)] if config else [])]
    command += ["run", f"{endpoint}/openapi.json"]
    command += ["--max-time", str(seconds), "--checks", "not_a_server_error", "--request-timeout", "10"]
    command += ["--phases", "examples,coverage,fuzzing", "--continue-on-failure", *words]
    return subprocess.run(command, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}).returncode


if __name__ == "__main__":
    sys.exit(main())
