"""Describe a task's inputs as a JSON schema."""

from __future__ import annotations

from typing import Any

from flyte_ray.spec.interface import Interface


def inputs_schema(interface: Interface, task: str) -> dict[str, Any]:
    """Return the schema of an object with one property per parameter; what has no JSON form is described by its type.

    Args:
        interface: The task's.
        task: Its name, the schema's title.

    """
    from pydantic import TypeAdapter  # a tenth of a second; only who asks for a schema pays it

    properties: dict[str, Any] = {}
    required = []
    definitions: dict[str, Any] = {}
    for item in interface.parameters:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(item.annotation)
            schema = adapter.json_schema(ref_template="#/$defs/{model}")
        except Exception:  # pydantic raises several unrelated classes for what has no JSON form
            name = getattr(item.annotation, "__qualname__", str(item.annotation))
            properties[item.name] = {"description": f"a value of type {name}"}
            required += [] if item.has_default else [item.name]
            continue
        definitions.update(schema.pop("$defs", {}))
        if item.has_default:
            try:
                schema["default"] = adapter.dump_python(item.default, mode="json")
            except Exception:  # a default of another type is the user's business; it is checked at the call
                schema.pop("default", None)
        else:
            required.append(item.name)
        properties[item.name] = schema
    found = {"title": task, "type": "object", "properties": properties, "required": required}
    return {**found, "$defs": definitions} if definitions else found
