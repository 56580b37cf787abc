"""Read the arguments of a task from JSON that somebody sent.

Invariants: no pickle is loaded, whatever the JSON says; no file of this machine is read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from flyte_ray.io.located import FROM_OUTSIDE
from flyte_ray.spec.interface import Interface


def read_inputs(interface: Interface, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by parameter.

    Raises:
        ValueError: One is missing, unknown, or not of its parameter's type.

    """
    known = {item.name: item for item in interface.parameters}
    for name in given:
        if name not in known:
            raise ValueError(f"There is no input {name!r}. The task has: {', '.join(known) or 'none'}.")
    missing = [name for name, item in known.items() if not item.has_default and name not in given]
    if missing:
        raise ValueError(f"The task needs {', '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} missing.")
    return {name: _read(name, known[name].annotation, value) for name, value in given.items()}


def _read(name: str, annotation: Any, value: Any) -> Any:
    try:
        # As JSON, because there a list may become a set or a tuple, and a text a date.
        return TypeAdapter(annotation).validate_json(json.dumps(value), context={FROM_OUTSIDE: True})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join([name, *(str(part) for part in first["loc"])])
        raise ValueError(f"Input {where}: {first['msg']}, got {value!r:.80}.") from error
    except PydanticSchemaGenerationError as error:
        raise ValueError(f"Input {name} cannot be sent as JSON: start such a run from Python.") from error
    except ValueError as error:
        raise ValueError(f"Input {name}: {error}.") from error
