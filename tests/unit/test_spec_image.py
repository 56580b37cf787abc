"""Images: immutable chains, packages out of files."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.spec.image import Image

needs_tomllib = pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is in Python from 3.11 on")


def test_each_step_gives_a_new_image() -> None:
    base = Image.from_debian_base()
    more = base.with_pip_packages("numpy", "pandas==2.2").with_pip_packages("numpy", "polars")
    assert base.pip_packages == ()
    assert more.pip_packages == ("numpy", "pandas==2.2", "polars")
    assert pickle.loads(pickle.dumps(more)) == more
    assert hash(more) == hash(base.with_pip_packages("numpy", "pandas==2.2").with_pip_packages("numpy", "polars"))


def test_later_variables_win() -> None:
    image = Image.from_debian_base().with_env_vars({"A": "1", "B": "x=y"}).with_env_vars({"A": "2"})
    assert image.env_vars == {"A": "2", "B": "x=y"}


def test_a_ready_image_takes_no_layers_unless_cloned() -> None:
    image = Image.from_base("repo/name:1")
    assert image.base_uri == "repo/name:1"
    with pytest.raises(ValueError, match="extendable=True"):
        image.with_pip_packages("numpy")
    assert image.clone(extendable=True).with_pip_packages("numpy").pip_packages == ("numpy",)


def test_a_dockerfile_takes_no_layers() -> None:
    with pytest.raises(InvalidDeclaration, match="Dockerfile"):
        Image.from_dockerfile("Dockerfile", "reg", "n").with_apt_packages("git")


def test_requirements_are_read_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("polars\n")
    file = tmp_path / "requirements.txt"
    file.write_text("# all\nnumpy>=2  # fast\n\n-r more.txt\npkg @ https://example.org/p.whl#sha256=1\n")
    image = Image.from_debian_base().with_requirements(file)
    assert image.pip_packages == ("numpy>=2", "polars", "pkg @ https://example.org/p.whl#sha256=1")


def test_an_index_in_a_requirements_file_is_refused_without_its_address(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("--index-url=https://me:secret@index.example/simple\nnumpy\n")
    with pytest.raises(UnsupportedError, match="--index-url") as caught:
        Image.from_debian_base().with_requirements(file).validate()
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidDeclaration, match=r"none\.txt"):
        Image.from_debian_base().with_requirements(tmp_path / "none.txt").validate()


@needs_tomllib
def test_a_script_brings_its_own_packages(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text('# /// script\n# dependencies = [\n#   "rich[jupyter]",\n#   "numpy",\n# ]\n# ///\nimport rich\n')
    assert Image.from_uv_script(script, name="s").pip_packages == ("rich[jupyter]", "numpy")
    script.write_text("import rich\n")
    assert Image.from_uv_script(script, name="s").pip_packages == ()


@needs_tomllib
def test_a_project_brings_its_dependencies(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    project.write_text('[project]\nname = "p"\ndependencies = ["numpy"]\n')
    assert Image.from_debian_base().with_uv_project(project).pip_packages == ("numpy",)
    assert Image.from_debian_base().with_poetry_project(project).pip_packages == ("numpy",)
    project.write_text("[project\n")
    with pytest.raises(InvalidDeclaration, match="TOML"):
        Image.from_debian_base().with_uv_project(project).validate()


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("numpy\n")
    image = Image.from_debian_base().with_requirements(file)
    before = image.digest
    assert before == Image.from_debian_base().with_requirements(file).with_source_folder(tmp_path).digest
    file.write_text("numpy\npolars\n")
    assert image.digest != before


def test_a_list_in_place_of_packages_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="one by one"):
        Image.from_debian_base().with_pip_packages(["numpy"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="list of commands"):
        Image.from_debian_base().with_commands("ls")
