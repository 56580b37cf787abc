"""What the console's own modules may do: each is small, none makes markup of text or knows another place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import flyte_ray.console

STATIC = Path(flyte_ray.console.__file__).parent / "static"
MODULES = sorted(STATIC.glob("*.js"))
MARKUP = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc")
ELSEWHERE = re.compile(r"https?://(?!www\.w3\.org/2000/svg)")


@pytest.mark.parametrize("module", MODULES, ids=[each.stem for each in MODULES])
def test_a_module_is_small_makes_no_markup_of_text_and_names_no_other_place(module: Path) -> None:
    text = module.read_text()
    assert text.startswith("// ") and len(text.splitlines()) <= 400
    assert not MARKUP.search(text) and not ELSEWHERE.search(text)
    for imported in re.findall(r'from "\./([\w.]+)"', text):
        assert (STATIC / imported).exists()


def test_the_style_names_no_other_place() -> None:
    assert "url(" not in (STATIC / "console.css").read_text() and "@import" not in (STATIC / "console.css").read_text()
