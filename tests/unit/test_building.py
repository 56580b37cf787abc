"""Containers are built by what a machine has, told by a `podman` and a `docker` that write down what they are asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import flyte_ray as flyte
from flyte_ray.cluster.building import build
from flyte_ray.cluster.images import map_image
from flyte_ray.errors import ImageBuildError
from flyte_ray.spec.image import Image

FAKE = """\
#!/bin/sh
echo "$(basename $0) $*" >> {log}
case "$1 $2" in
  "image inspect") grep -q "$3" {built} ;;
  build*) for last; do :; done; cp -r "$last" {copy}; exit {rc} ;;
esac
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing but what is made in `bin` builds here."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "built").touch()
    system = os.pathsep.join(("/usr/bin", "/bin"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{system}")
    monkeypatch.setattr("flyte_ray.cluster.building.BUILDERS", ("podman", "docker"))
    for name in ("podman", "docker"):
        give(tmp_path, name, "#!/bin/sh\nexit 1\n")
    return tmp_path


def give(machine: Path, name: str, text: str | None = None, rc: int = 0) -> None:
    program = machine / "bin" / name
    given = {"log": machine / "log", "built": machine / "built", "copy": machine / "copy", "rc": rc}
    program.write_text(text or FAKE.format(**given))
    program.chmod(0o755)


def recipe(image: Image):  # type: ignore[no-untyped-def]  # for short
    return map_image("env", image).recipe


LOCAL = Image.from_debian_base().with_apt_packages("git")
SHARED = Image.from_debian_base(registry="reg.example", name="tools").with_apt_packages("git")


def test_podman_builds_what_is_not_there(machine: Path) -> None:
    give(machine, "podman")
    assert build(recipe(LOCAL))
    *_, asked = (machine / "log").read_text().splitlines()
    assert asked.startswith("podman build -f ") and f"-t {recipe(LOCAL).address} --platform=linux/amd64" in asked
    assert (machine / "copy" / "Containerfile").read_text() == recipe(LOCAL).text
    (machine / "built").write_text(recipe(LOCAL).address)
    assert not build(recipe(LOCAL))
    assert build(recipe(LOCAL), force=True)


def test_what_is_copied_lies_beside_the_containerfile(machine: Path) -> None:
    give(machine, "podman")
    (machine / "data").mkdir()
    (machine / "data" / "a.txt").write_text("a")
    build(recipe(LOCAL.with_source_folder(machine / "data")))
    assert (machine / "copy" / "layer1" / "data" / "a.txt").read_text() == "a"


def test_docker_builds_for_a_registry_and_pushes(machine: Path) -> None:
    give(machine, "docker")
    assert build(recipe(SHARED))
    assert (machine / "log").read_text().splitlines()[-1] == f"docker push {recipe(SHARED).address}"
    with pytest.raises(ImageBuildError, match=r"podman, which does not see what docker.*registry"):
        build(recipe(LOCAL))


def test_without_a_builder_it_says_what_it_would_run(machine: Path) -> None:
    with pytest.raises(ImageBuildError, match=r"neither answers here.*podman build -f FOLDER/Containerfile.*--dry-run"):
        build(recipe(LOCAL))


def test_a_build_that_fails_is_told(machine: Path) -> None:
    give(machine, "podman", rc=1)
    with pytest.raises(ImageBuildError, match="'podman build' should make localhost/flyte-ray:"):
        build(recipe(LOCAL))


def test_flyte_build_builds_what_is_not_there(machine: Path) -> None:
    give(machine, "podman")
    address = recipe(LOCAL).address
    assert flyte.build(LOCAL, dry_run=True) == flyte.ImageBuild(uri=address)
    assert not (machine / "log").exists(), "a dry run asks nobody"
    assert flyte.build(LOCAL).uri == address
    assert "podman build" in (machine / "log").read_text()
    assert flyte.build(Image.from_debian_base().with_pip_packages("attrs")).uri is None, "nodes install packages"


def test_flyte_build_images_builds_what_environments_and_those_they_depend_on_need(machine: Path) -> None:
    give(machine, "podman")
    below = flyte.TaskEnvironment("below", image=LOCAL)
    ready = flyte.TaskEnvironment("ready", image="reg.example/ready:1", depends_on=[below])
    plain = flyte.TaskEnvironment("plain", depends_on=[ready])
    found = flyte.build_images(plain)
    assert found.image_lookup == {"ready": "reg.example/ready:1", "below": recipe(LOCAL).address}
    (machine / "log").unlink()
    assert flyte.build_images(plain, seed_cache=found) == found
    assert not (machine / "log").exists(), "what an earlier call gave is not looked at again"
    with pytest.raises(TypeError, match="takes environments, got Image"):
        flyte.build_images(LOCAL)  # type: ignore[arg-type]  # it is what is refused
