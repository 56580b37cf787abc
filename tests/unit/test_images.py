"""What every way to make an image comes to: Ray's runtime environment, or the Containerfile of what is built first."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flyte_ray.cluster import containerfile
from flyte_ray.cluster.containerfile import Recipe
from flyte_ray.cluster.images import map_image, without_uv
from flyte_ray.errors import InvalidDeclaration, UnsupportedError
from flyte_ray.spec.image import Image

BASE = Image.from_debian_base()
READY = Image.from_base("repo/name:1")
OWN = Image.from_base("repo/name:1").clone(extendable=True)
OTHER = (sys.version_info[0], sys.version_info[1] + 1)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to make images of, in the current folder, and a base of two lines."""
    (tmp_path / "requirements.txt").write_text("numpy>=2\n-r more.txt\n")
    (tmp_path / "more.txt").write_text("polars\n")
    (tmp_path / "script.py").write_text('# /// script\n# dependencies = ["rich"]\n# ///\n')
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p"\ndependencies = ["attrs>=23"]\n')
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "a.txt").write_text("a")
    (tmp_path / "data" / "deep" / "b.txt").write_text("b")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(containerfile, "base_lines", lambda: ("FROM python:3", "RUN pip install ray"))
    return tmp_path


def uv(*packages: str, options: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"uv": {"packages": list(packages), "uv_pip_install_options": list(options)}}


IN_RAY: list[tuple[str, Callable[[], Any], dict[str, Any]]] = [
    ("none", lambda: None, {}),
    ("auto", lambda: "auto", {}),
    ("text", lambda: "repo/name:1", {"image_uri": "repo/name:1"}),
    ("from_debian_base", lambda: BASE, {}),
    ("from_base", lambda: READY, {"image_uri": "repo/name:1"}),
    ("from_base env", lambda: OWN.with_env_vars({"A": "1"}), {"image_uri": "repo/name:1"}),
    ("from_base code", lambda: OWN.with_code_bundle(), {"image_uri": "repo/name:1"}),
    ("from_ref_name", lambda: Image.from_ref_name("team"), {"image_uri": "repo/team:2"}),
    ("from_uv_script", lambda: Image.from_uv_script("script.py", name="s"), uv("rich")),
    ("from_uv_script pre", lambda: Image.from_uv_script("script.py", name="s", pre=True),
     uv("rich", options=("--prerelease=allow",))),
    ("pip", lambda: BASE.with_pip_packages("numpy", "pandas==2.2"), uv("numpy", "pandas==2.2")),
    ("pip twice", lambda: BASE.with_pip_packages("a").with_pip_packages("a", "b"), uv("a", "b")),
    ("pip pre", lambda: BASE.with_pip_packages("a", pre=True), uv("a", options=("--prerelease=allow",))),
    ("pip index", lambda: BASE.with_pip_packages("a", index_url="https://i/simple"),
     uv("a", options=("--index-url=https://i/simple",))),
    ("pip more indexes", lambda: BASE.with_pip_packages("a", extra_index_urls=["https://i", "https://j"]),
     uv("a", options=("--extra-index-url=https://i", "--extra-index-url=https://j"))),
    ("pip variable", lambda: BASE.with_pip_packages("a", index_url="https://$ME:${TOKEN}@i/simple"),
     uv("a", options=("--index-url=https://$ME:${TOKEN}@i/simple",))),
    ("pip extra", lambda: BASE.with_pip_packages("a", extra_args="--no-deps --find-links '/my wheels'"),
     uv("a", options=("--no-deps", "--find-links", "/my wheels"))),
    ("requirements", lambda: BASE.with_requirements("requirements.txt"), uv("numpy>=2", "polars")),
    ("uv_project", lambda: BASE.with_uv_project("pyproject.toml"), uv("attrs>=23")),
    ("poetry_project", lambda: BASE.with_poetry_project("pyproject.toml"), uv("attrs>=23")),
    ("env_vars", lambda: BASE.with_env_vars({"A": "1"}), {}),
    ("workdir", lambda: BASE.with_workdir("/app"), {}),
    ("source_file", lambda: BASE.with_source_file("data/a.txt"), {}),
    ("source_folder", lambda: BASE.with_source_folder("data"), {}),
    ("code_bundle", lambda: BASE.with_code_bundle("all"), {}),
    ("dockerignore", lambda: BASE.with_dockerignore(".dockerignore"), {}),
    ("local_v2", lambda: BASE.with_local_v2().with_local_v2_plugins("x").with_local_rs_controller(), {}),
    ("clone", lambda: BASE.with_pip_packages("a").clone(name="other"), uv("a")),
]  # fmt: skip


@pytest.mark.parametrize(("make", "expected"), [row[1:] for row in IN_RAY], ids=[row[0] for row in IN_RAY])
def test_ray_gets_such_an_image_as_a_runtime_environment(make: Callable[[], Any], expected: dict[str, Any]) -> None:
    if sys.version_info < (3, 11) and expected in (uv("rich"), uv("attrs>=23")):
        pytest.skip("tomllib is in Python from 3.11 on")
    from ray.runtime_env import RuntimeEnv

    need = map_image("env", make(), known={"team": "repo/team:2"})
    assert (need.runtime_env, need.recipe) == (expected, None)
    RuntimeEnv(**need.runtime_env)  # Ray takes it
    if "uv" in expected:
        RuntimeEnv(**without_uv(need.runtime_env))


START = "FROM python:3\nRUN pip install ray\n"
BUILT: list[tuple[str, Callable[[], Image], str]] = [
    ("apt", lambda: BASE.with_apt_packages("git", "vim"),
     START + "RUN apt-get update && apt-get install -y --no-install-recommends git vim"
     " && rm -rf /var/lib/apt/lists/*\n"),
    ("commands", lambda: BASE.with_commands(["make all", "echo 'it is'"]), START + "RUN make all\nRUN echo 'it is'\n"),
    ("order", lambda: BASE.with_commands(["one"]).with_pip_packages("a>=1", pre=True).with_commands(["two"]),
     START + "RUN one\nRUN pip install --no-cache-dir --pre 'a>=1'\nRUN two\n"),
    ("files", lambda: BASE.with_commands(["x"]).with_requirements("requirements.txt").with_uv_project("pyproject.toml"),
     START + "RUN x\nRUN pip install --no-cache-dir 'numpy>=2' polars\nRUN pip install --no-cache-dir 'attrs>=23'\n"),
    ("env", lambda: BASE.with_env_vars({"A": 'say "$B"'}).with_commands(["x"]),
     START + 'ENV A="say \\"\\$B\\""\nRUN x\n'),
    ("workdir", lambda: BASE.with_workdir("/app").with_commands(["x"]), START + "WORKDIR /app\nRUN x\n"),
    ("source_file", lambda: BASE.with_source_file("data/a.txt", "/app/c.txt").with_commands(["x"]),
     START + 'COPY ["layer0/a.txt", "/app/c.txt"]\nRUN x\n'),
    ("source_folder", lambda: BASE.with_source_folder("data", "/app").with_commands(["x"]),
     START + 'COPY ["layer0/data", "/app/data/"]\nRUN x\n'),
    ("contents", lambda: BASE.with_source_folder("data", copy_contents_only=True).with_commands(["x"]),
     START + 'COPY ["layer0/data", "./"]\nRUN x\n'),
    ("code_bundle", lambda: BASE.with_code_bundle().with_dockerignore("i").with_commands(["x"]), START + "RUN x\n"),
    ("from_base", lambda: OWN.with_pip_packages("a"), "FROM repo/name:1\nRUN pip install --no-cache-dir a\n"),
    ("from_base apt", lambda: OWN.with_apt_packages("git").with_env_vars({"A": "1"}),
     "FROM repo/name:1\nRUN apt-get update && apt-get install -y --no-install-recommends git"
     ' && rm -rf /var/lib/apt/lists/*\nENV A="1"\n'),
    ("from_dockerfile", lambda: Image.from_dockerfile("Dockerfile", "reg.example", "n"),
     "FROM scratch\nCOPY data /data\n"),
]  # fmt: skip


def recipe_of(image: Image) -> Recipe:
    need = map_image("env", image)
    assert need.recipe is not None
    assert need.runtime_env == {"image_uri": need.recipe.address}
    return need.recipe


@pytest.mark.parametrize(("make", "expected"), [row[1:] for row in BUILT], ids=[row[0] for row in BUILT])
def test_such_an_image_is_built_by_a_containerfile(make: Callable[[], Image], expected: str) -> None:
    if sys.version_info < (3, 11) and "attrs" in expected:
        pytest.skip("tomllib is in Python from 3.11 on")
    assert recipe_of(make()).text == expected


def test_the_base_of_a_container_is_this_python_and_this_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    first, second = containerfile.base_lines()
    assert first == f"FROM python:{'.'.join(map(str, sys.version_info[:3]))}-slim-bookworm"
    assert "ray[default,serve]==2." in second and "pyarrow>=" in second


def test_what_is_copied_is_named_and_counts_in_the_tag(project: Path) -> None:
    image = BASE.with_source_folder("data").with_commands(["x"])
    first = recipe_of(image)
    assert [name for name, _ in first.files] == ["layer0/data/a.txt", "layer0/data/deep/b.txt"]
    assert first.address == recipe_of(image).address and first.address.startswith("localhost/flyte-ray:")
    (project / "data" / "a.txt").write_text("other")
    assert recipe_of(image).address != first.address


def test_registry_and_name_are_the_address() -> None:
    image = Image.from_debian_base(registry="reg.example/team", name="tools").with_apt_packages("git")
    recipe = recipe_of(image)
    assert recipe.address.startswith("reg.example/team/tools:") and recipe.is_pushed
    assert not recipe_of(BASE.with_apt_packages("git")).is_pushed


REFUSED: list[tuple[Image, type[Exception], str]] = [
    (BASE.with_pixi_project("pixi.toml"), UnsupportedError, r"a pixi project, got pixi\.toml.*with_pip_packages"),
    (Image.from_pixi_script("s.py", name="s"), UnsupportedError, r"a pixi script, got s\.py"),
    (Image.from_ref_name("mine"), UnsupportedError, r"'mine'.*It knows: team\..*init\(images="),
    (Image.from_debian_base(OTHER), UnsupportedError, r"asks for Python 3\.\d+, but.*Leave out python_version"),
    (BASE.with_pip_packages("a", index_url="https://i").with_pip_packages("b", index_url="https://j"),
     UnsupportedError, "got 2. Make the others extra_index_urls"),
    (BASE.with_requirements("none.txt"), InvalidDeclaration, r"none\.txt"),
    (BASE.with_source_file("none.py").with_commands(["x"]), InvalidDeclaration, r"none\.py, which does not exist"),
    (BASE.with_env_vars({"KEY": "a\nRUN b"}).with_commands(["x"]), InvalidDeclaration, "one line, but KEY"),
    (Image.from_dockerfile("Other", "reg", "n"), InvalidDeclaration, "Other, which cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("image", "error", "sentence"), REFUSED)
def test_what_cannot_be_had_is_refused_with_what_can(image: Image, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        map_image("env", image, known={"team": "repo/team:2"})


@pytest.mark.parametrize("address", ["https://me:secret@i/simple", "https://secret@i", "https://$ME:secret@i"])
def test_a_password_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(UnsupportedError, match=r"index_url.*\$INDEX_TOKEN") as caught:
        map_image("env", BASE.with_pip_packages("numpy", index_url=address))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["git+https://secret@host/a.git", "https://me:secret@host/a.whl"])
def test_a_password_in_the_address_of_a_package_is_refused_and_not_shown(project: Path, address: str) -> None:
    (project / "requirements.txt").write_text(f"a @ {address}\n")
    for image in (BASE.with_pip_packages(f"a @ {address}"), BASE.with_requirements("requirements.txt")):
        for each in (image, image.with_commands(["x"])):
            with pytest.raises(UnsupportedError, match=r"a package.*\$\{TOKEN\}") as caught:
                map_image("env", each)
            assert "secret" not in str(caught.value)


@pytest.mark.parametrize("address", ["git+ssh://git@host/a.git", "git+https://${TOKEN}@host/a.git", "https://host/a@1"])
def test_the_address_of_a_package_may_name_who_logs_in(address: str) -> None:
    assert map_image("env", BASE.with_pip_packages(f"a @ {address}")).runtime_env == uv(f"a @ {address}")


def test_pip_gets_what_uv_would() -> None:
    need = map_image("env", BASE.with_pip_packages("a", pre=True, extra_args="--no-deps"))
    options = ["--disable-pip-version-check", "--no-deps", "--pre"]
    assert without_uv(need.runtime_env) == {"pip": {"packages": ["a"], "pip_install_options": options}}
    assert without_uv({"uv": ["a"], "env_vars": {"A": "1"}})["env_vars"] == {"A": "1"}
