from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_census_counts_files_of_the_standard_library(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--local", "--root", str(tmp_path)]
    done = subprocess.run(
        [*command, str(EXAMPLES / "census.py"), "census", "--limit", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Summary(files=" in done.stdout


def test_the_sweep_finds_settings_that_read_digits(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "flyte_ray.cli.main", "submit", "--local", "--root", str(tmp_path)]
    words = ["sweep", "--trees", "[2, 10]", "--depths", "[6]", "--folds", "2"]
    done = subprocess.run(
        [*command, str(EXAMPLES / "sweep.py"), *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Candidate(trees=10, depth=6)" in done.stdout
