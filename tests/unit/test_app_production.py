"""Config files of Serve: what they say is checked by Ray's own schema, and what is wrong in them is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from flyte_ray.apps.production import build
from flyte_ray.errors import InvalidDeclaration

SERVE = Path(__file__).parents[2] / "serve"


@pytest.mark.parametrize("args", [{}, {"app": "serve.api"}, {"app": "serve.api:env", "colour": "red"}])
def test_arguments_that_name_no_app_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(InvalidDeclaration, match=r"must have app: 'module:name', .* Write app: serve.api:env."):
        build(args)


def test_each_ready_app_has_a_config_file_that_names_it() -> None:
    for file in sorted(SERVE.glob("*.py")):
        config = yaml.safe_load(file.with_suffix(".yaml").read_text())
        assert [each["args"]["app"] for each in config["applications"]] == [f"serve.{file.stem}:env"]
        assert {each["import_path"] for each in config["applications"]} == {"flyte_ray.apps.production:build"}


def test_nothing_imports_the_ready_apps() -> None:
    files = sorted((SERVE.parent / "flyte_ray").rglob("*.py"))
    assert not [path for path in files if re.search(r"^\s*(from|import) serve\b", path.read_text(), re.M)]
