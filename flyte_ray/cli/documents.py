"""Read parameters that have a JSON form: from JSON, from a JSON or YAML file, or from the text as it stands.

Imported where such a parameter is given: pydantic takes longer than what else a command does.
"""

from __future__ import annotations

import json
import typing
from pathlib import Path, PurePath
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError

from flyte_ray.cli.parameters import describe, is_located, is_object, json_or_text
from flyte_ray.storage.local import PathMismatch


def read_document(annotation: Any, text: str, default: Any) -> Any:
    """Read a value of an annotation; see `read_value`."""
    is_file = text.lower().endswith((".json", ".yaml", ".yml")) and not _is_path(annotation)
    raw = _load_file(Path(text)) if is_file else json_or_text(text)
    if not isinstance(raw, (list, dict, str)):
        raw = text  # the digits of a UUID or of a Decimal are no number
    try:
        adapter = TypeAdapter(annotation)
        if isinstance(raw, dict) and is_object(type(default)):
            raw = {**TypeAdapter(type(default)).dump_python(default, mode="json"), **raw}
        # As JSON, because there a list may become a set or a tuple, and a text a date. YAML has dates of its own.
        return adapter.validate_json(json.dumps(raw, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        if isinstance(mismatch := first.get("ctx", {}).get("error"), PathMismatch):
            raise mismatch from error
        where = ".".join(str(part) for part in first["loc"])
        reason = f"{where}: {first['msg']}" if where else first["msg"]
        raise ValueError(f"expected {describe(annotation)}, got {text!r}: {reason}") from error
    except PydanticSchemaGenerationError as error:
        raise ValueError(
            f"expected a type that can be written as text, got {describe(annotation)}: start the run from Python"
        ) from error


def _is_path(annotation: Any) -> bool:
    plain = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    return isinstance(plain, type) and (issubclass(plain, PurePath) or is_located(plain))


def _load_file(path: Path) -> Any:
    try:
        text = path.read_text()
        if path.suffix.lower() == ".json":
            return json.loads(text)
        import yaml  # only this form of input needs it

        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(str(error)) from error
    except (OSError, ValueError) as error:
        raise ValueError(f"expected a JSON or YAML file, got {str(path)!r}: {error}") from error
