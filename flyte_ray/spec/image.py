"""`Image`: what a task's process needs besides the user's code, as an immutable list of layers.

Nothing is built here. On Ray an image becomes packages that the node installs for the slot, or the address of a
container (`cluster.images`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from flyte_ray.errors import InvalidDeclaration
from flyte_ray.spec.requirements import (
    load_project_packages,
    load_requirements,
    load_script_packages,
)
from flyte_ray.spec.secret import SecretRequest

LayerKind = Literal[
    "pip", "requirements", "uv_script", "uv_project", "poetry_project", "pixi_project", "pixi_script",
    "apt", "commands", "env", "workdir", "source", "code_bundle", "dockerignore",
]  # fmt: skip
_LOADERS: Final = {
    "requirements": load_requirements,
    "uv_script": load_script_packages,
    "uv_project": load_project_packages,
    "poetry_project": load_project_packages,
}
_NAMED_BY_BUNDLE: Final = frozenset({"source", "code_bundle", "dockerignore"})


@dataclass(frozen=True)
class Layer:
    """One step of an image."""

    kind: LayerKind
    values: tuple[str, ...] = ()
    """Packages, commands, paths, or `NAME=value` of variables."""
    options: tuple[tuple[str, str], ...] = ()
    """How the step is done; sorted by name."""


def _options(**given: Any) -> tuple[tuple[str, str], ...]:
    named: dict[str, str] = {}
    for name, value in given.items():
        if value in (None, False, (), []):
            continue
        many = isinstance(value, (list, tuple))
        named[name] = " ".join(str(item) for item in value) if many else str(value)
    return tuple(sorted(named.items()))


def _texts(what: str, values: Sequence[Any]) -> tuple[str, ...]:
    for value in values:
        if not isinstance(value, str) or not value:
            raise TypeError(f"{what} takes texts, got {type(value).__name__} {value!r}. Pass them one by one.")
    return tuple(values)


@dataclass(frozen=True)
class Image:
    """An immutable image; each `with_` method gives a new one.

    Source: `flyte.Image`.
    """

    base_image: str | None = None
    """Address of a ready image; `None`: the process environment of the cluster."""
    dockerfile: Path | None = None
    registry: str | None = None
    name: str | None = None
    platform: tuple[str, ...] = ("linux/amd64",)
    python_version: tuple[int, int] = (sys.version_info.major, sys.version_info.minor)
    extendable: bool = False
    ref_name: str | None = None
    """Name under which `init` or the command line gives the address."""
    layers: tuple[Layer, ...] = ()

    @classmethod
    def from_debian_base(
        cls,
        python_version: tuple[int, int] | None = None,
        flyte_version: str | None = None,
        install_flyte: bool = True,
        registry: str | None = None,
        registry_secret: Any = None,
        name: str | None = None,
        platform: tuple[str, ...] | None = None,
    ) -> Image:
        """Start from the cluster's own Python; the arguments that only an image builder needs are accepted."""
        return cls(
            registry=registry,
            name=name,
            platform=platform or ("linux/amd64",),
            python_version=python_version or (sys.version_info.major, sys.version_info.minor),
            extendable=True,
        )

    @classmethod
    def from_base(cls, image_uri: str) -> Image:
        """Use a ready image. It must hold this Python, this Ray and flyte-ray, and is not extendable."""
        if not isinstance(image_uri, str) or not image_uri:
            raise InvalidDeclaration(f"Image.from_base needs an address, got {image_uri!r}. Write 'repo/name:tag'.")
        return cls(base_image=image_uri)

    @classmethod
    def from_dockerfile(
        cls, file: Path | str, registry: str, name: str, platform: str | tuple[str, ...] | None = None
    ) -> Image:
        """Use what a Dockerfile gives; `flyte-ray build` builds it, with its folder as what it copies from."""
        platforms = (platform,) if isinstance(platform, str) else platform
        return cls(dockerfile=Path(file), registry=registry, name=name, platform=platforms or ("linux/amd64",))

    @classmethod
    def from_uv_script(
        cls,
        script: Path | str,
        *,
        name: str,
        registry: str | None = None,
        registry_secret: Any = None,
        python_version: tuple[int, int] | None = None,
        index_url: str | None = None,
        extra_index_urls: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        platform: tuple[str, ...] | None = None,
        secret_mounts: SecretRequest | None = None,
    ) -> Image:
        """Take the packages out of a script's inline metadata (PEP 723)."""
        base = cls.from_debian_base(python_version, registry=registry, name=name, platform=platform)
        options = _options(index_url=index_url, extra_index_urls=extra_index_urls, pre=pre, extra_args=extra_args)
        return base._with("uv_script", (str(script),), options)

    @classmethod
    def from_pixi_script(
        cls,
        script: Path | str,
        *,
        name: str,
        registry: str | None = None,
        registry_secret: Any = None,
        environment: str = "default",
        extra_args: str | None = None,
        platform: tuple[str, ...] | None = None,
        secret_mounts: SecretRequest | None = None,
    ) -> Image:
        """Name a pixi script. flyte-ray does not install it: running it is refused with what to do."""
        base = cls.from_debian_base(registry=registry, name=name, platform=platform)
        return base._with("pixi_script", (str(script),), _options(environment=environment, extra_args=extra_args))

    @classmethod
    def from_ref_name(cls, name: str = "default") -> Image:
        """Name an image whose address `init(images=...)` or `--image NAME=URI` gives."""
        return cls(ref_name=name)

    def clone(
        self,
        registry: str | None = None,
        registry_secret: Any = None,
        name: str | None = None,
        base_image: str | None = None,
        python_version: tuple[int, int] | None = None,
        addl_layer: Layer | None = None,
        extendable: bool | None = None,
        platform: str | tuple[str, ...] | None = None,
    ) -> Image:
        """Copy, with the given parts changed."""
        platforms = (platform,) if isinstance(platform, str) else platform
        copy = replace(
            self,
            registry=registry or self.registry,
            name=name or self.name,
            base_image=base_image or self.base_image,
            python_version=python_version or self.python_version,
            extendable=self.extendable if extendable is None else extendable,
            platform=platforms or self.platform,
        )
        return copy._add(addl_layer) if addl_layer else copy

    def with_pip_packages(
        self,
        *packages: str,
        index_url: str | None = None,
        extra_index_urls: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        secret_mounts: SecretRequest | None = None,
    ) -> Image:
        """Add Python packages, as `pip install` names them."""
        options = _options(index_url=index_url, extra_index_urls=extra_index_urls, pre=pre, extra_args=extra_args)
        return self._with("pip", _texts("with_pip_packages", packages), options)

    def with_requirements(
        self,
        file: str | Path,
        index_url: str | None = None,
        extra_index_urls: str | Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        secret_mounts: SecretRequest | None = None,
    ) -> Image:
        """Add the packages of a requirements file, read when the task is first run."""
        options = _options(index_url=index_url, extra_index_urls=extra_index_urls, pre=pre, extra_args=extra_args)
        return self._with("requirements", (str(file),), options)

    def with_uv_project(
        self,
        pyproject_file: str | Path,
        uvlock: Path | None = None,
        index_url: str | None = None,
        extra_index_urls: Sequence[str] | None = None,
        pre: bool = False,
        extra_args: str | None = None,
        secret_mounts: SecretRequest | None = None,
        project_install_mode: Literal["dependencies_only", "install_project"] = "dependencies_only",
    ) -> Image:
        """Add `project.dependencies`; the lock file is not used, the project's code comes with the code bundle."""
        options = _options(index_url=index_url, extra_index_urls=extra_index_urls, pre=pre, extra_args=extra_args)
        return self._with("uv_project", (str(pyproject_file),), options)

    def with_poetry_project(
        self,
        pyproject_file: str | Path,
        poetry_lock: Path | None = None,
        extra_args: str | None = None,
        secret_mounts: SecretRequest | None = None,
        project_install_mode: Literal["dependencies_only", "install_project"] = "dependencies_only",
    ) -> Image:
        """Add `project.dependencies` of a Poetry project; the lock file is not used."""
        return self._with("poetry_project", (str(pyproject_file),), _options(extra_args=extra_args))

    def with_pixi_project(
        self,
        manifest_file: str | Path,
        pixi_lock: Path | None = None,
        environment: str = "default",
        extra_args: str | None = None,
        secret_mounts: SecretRequest | None = None,
        project_install_mode: Literal["dependencies_only", "install_project"] = "dependencies_only",
    ) -> Image:
        """Name a pixi project. flyte-ray does not install it: running it is refused with what to do."""
        return self._with("pixi_project", (str(manifest_file),), _options(environment=environment))

    def with_apt_packages(self, *packages: str, secret_mounts: SecretRequest | None = None) -> Image:
        """Add system packages; they need a container, which `flyte-ray build` builds."""
        return self._with("apt", _texts("with_apt_packages", packages))

    def with_commands(self, commands: Sequence[str], secret_mounts: SecretRequest | None = None) -> Image:
        """Run commands when the container is built, which `flyte-ray build` does."""
        if isinstance(commands, str):
            raise TypeError(f"with_commands takes a list of commands, got the text {commands!r}. Write [{commands!r}].")
        return self._with("commands", _texts("with_commands", commands))

    def with_env_vars(self, env_vars: Mapping[str, str]) -> Image:
        """Set variables; those of the environment win over them."""
        values = tuple(f"{key}={env_vars[key]}" for key in sorted(env_vars))
        for key, value in env_vars.items():
            if not isinstance(key, str) or not isinstance(value, str) or "=" in key:
                raise TypeError(f"with_env_vars maps str to str, got {key!r}: {value!r}. Write the value as text.")
        return self._with("env", values)

    def with_workdir(self, workdir: str) -> Image:
        """Name where a container is built in; slots work in their code bundle, so it has no effect on them."""
        return self._with("workdir", (workdir,))

    def with_source_file(self, src: Path | str | list[Path], dst: str = ".") -> Image:
        """Copy files into a container; else code travels in the code bundle (`include=`), and this has no effect."""
        sources = src if isinstance(src, list) else [src]
        return self._with("source", tuple(str(path) for path in sources), _options(dst=dst))

    def with_source_folder(self, src: Path | str, dst: str = ".", copy_contents_only: bool = False) -> Image:
        """Copy a folder into a container; else code travels in the code bundle (`include=`), and this has no effect."""
        return self._with("source", (str(src),), _options(dst=dst, copy_contents_only=copy_contents_only))

    def with_code_bundle(
        self, copy_style: Literal["loaded_modules", "all"] = "loaded_modules", dst: str = "."
    ) -> Image:
        """Ask for the code bundle, which always travels."""
        return self._with("code_bundle", (copy_style,), _options(dst=dst))

    def with_dockerignore(self, path: Path | str) -> Image:
        """Name a `.dockerignore`; only what is copied is handed to a build, so it has no effect."""
        return self._with("dockerignore", (str(path),))

    def with_local_v2(self) -> Image:
        """Do nothing: flyte-ray itself reaches the slots without an image."""
        return self

    def with_local_rs_controller(self) -> Image:
        """Do nothing: there is no such controller."""
        return self

    def with_local_v2_plugins(self, plugins: str | list[str] | None = None) -> Image:
        """Do nothing: there are no plugin packages."""
        return self

    def validate(self) -> None:
        """Read every file that a layer names.

        Raises:
            InvalidDeclaration: A file cannot be read.

        """
        _ = self.pip_packages

    @property
    def base_uri(self) -> str | None:
        """Address of the ready image, if it is one."""
        return self.base_image

    @property
    def pip_packages(self) -> tuple[str, ...]:
        """All Python packages in order, without repetition; files that layers name are read now."""
        packages: dict[str, None] = {}
        for layer in self.layers:
            if layer.kind == "pip":
                packages.update(dict.fromkeys(layer.values))
            elif layer.kind in _LOADERS:
                for path in layer.values:
                    packages.update(dict.fromkeys(_LOADERS[layer.kind](Path(path))))
        return tuple(packages)

    @property
    def env_vars(self) -> dict[str, str]:
        """Variables of all layers; later ones win."""
        entries = (entry for layer in self.layers if layer.kind == "env" for entry in layer.values)
        return {key: value for key, _, value in (entry.partition("=") for entry in entries)}

    @property
    def digest(self) -> str:
        """Hex sha256, cut to 16, of what the image consists of; files count by their content."""
        layers = [
            [layer.kind, layer.values, layer.options] for layer in self.layers if layer.kind not in _NAMED_BY_BUNDLE
        ]
        parts = [self.base_image, self.ref_name, str(self.dockerfile), self.python_version, layers, self.pip_packages]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def _with(self, kind: LayerKind, values: tuple[str, ...], options: tuple[tuple[str, str], ...] = ()) -> Image:
        return self._add(Layer(kind, values, options))

    def _add(self, layer: Layer) -> Image:
        if not self.extendable:
            named = self.base_image or self.ref_name or self.dockerfile or "this image"
            raise InvalidDeclaration(
                f"Layers need an extendable image, got '{layer.kind}' for {str(named)!r}. "
                f"Use image.clone(extendable=True) first, or start from Image.from_debian_base()."
            )
        return replace(self, layers=(*self.layers, layer))
