"""Arguments for a tool nobody told us about, from its input schema alone."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 8


def arguments_for(schema: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """One of the schema's `examples`, or else the smallest object its required properties ask for."""
    examples = [example for example in schema.get("examples", []) if isinstance(example, dict)]
    if examples:
        return dict(rng.choice(examples))
    built = _value(schema, schema, 0)
    return built if isinstance(built, dict) else {}


def _value(schema: Any, root: Mapping[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _MAX_DEPTH:
        return None
    schema = _resolved(schema, root)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("anyOf", "oneOf"):
        options = [option for option in schema.get(key, []) if option != {"type": "null"}]
        if options:
            return _value(options[0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else None)
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), None)
    match kind:
        case "string":
            text = "example"
            return text.ljust(int(schema.get("minLength", 0)), ".")[: int(schema.get("maxLength", 10**6))]
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
        case "boolean":
            return False
        case "array":
            item = schema.get("items", {"type": "string"})
            return [_value(item, root, depth + 1) for _ in range(int(schema.get("minItems", 0)))]
        case "object":
            properties = schema.get("properties", {})
            required = schema.get("required", [])
            return {name: _value(properties.get(name, {}), root, depth + 1) for name in required}
        case _:
            return None


def _resolved(schema: dict[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    for _ in range(_MAX_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        target: Any = root
        for step in reference[2:].split("/"):
            target = (
                target.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(target, dict) else {}
            )
        schema = target if isinstance(target, dict) else {}
    return schema
