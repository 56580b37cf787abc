"""What a replica that was given secrets tells of itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CODE = """
import logging, sys
from flyte_ray.apps.own_secrets import confidentially, give_replica
from flyte_ray.errors import DeploymentError
from flyte_ray.storage import open_store
give_replica("app", open_store(sys.argv[1]))
logging.basicConfig(filename=sys.argv[2], format="%(message)s %(args)s")
logging.error("kept %d", 1)
try:
    raise ValueError("refused hunter2!")
except ValueError:
    logging.exception("met %s", "hunter2!")
try:
    with confidentially():
        raise ValueError("refused hunter2!")
except DeploymentError as error:
    assert str(error) == "ValueError: refused ***" and error.__suppress_context__
try:
    with confidentially():
        raise ValueError("another")
except ValueError as error:
    assert str(error) == "another"
"""


def test_neither_its_log_files_nor_its_failures_hold_a_secret(tmp_path: Path) -> None:
    variables = {**os.environ, "FLYTE_RAY_SECRETS": '[["key","",false,"KEY"]]', "KEY": "hunter2!"}
    words = [sys.executable, "-c", CODE, str(tmp_path / "root"), str(tmp_path / "log")]
    subprocess.run(words, check=True, env=variables, timeout=60)
    log = (tmp_path / "log").read_text()
    assert log.startswith("kept 1 (1,)\nmet *** ()\nTraceback") and log.endswith("ValueError: refused ***\n")
    assert "hunter2" not in log
