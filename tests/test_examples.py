from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.ray_cluster import ray_environ

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_census_counts_files_of_the_standard_library(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--local", "--root", str(tmp_path)]
    done = subprocess.run(
        [*command, str(EXAMPLES / "census.py"), "census", "--limit", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Summary(files=" in done.stdout


def test_the_sweep_finds_settings_that_read_digits_on_ray(ray_address: str, ray_root: Path) -> None:
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--address", ray_address, "--root", str(ray_root)]
    words = [str(EXAMPLES / "sweep.py"), "sweep", "--trees", "[2, 10]", "--depths", "[6]", "--folds", "2"]
    done = subprocess.run(
        [*command, *words], env=ray_environ(), capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert "Candidate(trees=10, depth=6)" in done.stdout
