"""What a tool is: parameter and result models, a function, examples; and how it speaks to its caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema

MAX_CODE_CHARS = 500_000
MAX_TEXT_CHARS = 20_000
MAX_ITEM_CHARS = 2_000
MAX_ITEMS = 50


class Client(Protocol):
    """Who called a tool, to speak to while it runs. Both methods may raise, to end the call; let that pass."""

    def progress(self, done: float, total: float, message: str) -> None:
        """Tell how far the work is; `done` rises to `total`."""
        ...

    def ask(self, question: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        """Ask for `fields` (name -> what to enter), each of which may stay empty.

        Returns the answers that are not empty, of at most `MAX_ITEM_CHARS` each, or None when the caller
        cannot or does not want to answer. A tool must not have changed anything before its last question:
        it may be run again from its start, with the answers.
        """
        ...


class _Silent:
    def progress(self, done: float, total: float, message: str) -> None:
        """Nobody listens."""

    def ask(self, question: str, fields: Mapping[str, str]) -> dict[str, str] | None:
        """Nobody answers."""
        return None


SILENT: Client = _Silent()
"""A caller that neither listens nor answers."""


class ResultModel(BaseModel):
    """Base of all results: snake_case in Python, camelCase on the wire."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ParamsModel(BaseModel):
    """Base of all parameters: camelCase on the wire, unknown keys are refused, null means absent."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, value: Any) -> Any:
        # Language models often spell an omitted optional argument as null.
        if not isinstance(value, dict):
            return value
        optional = {
            name
            for field, info in cls.model_fields.items()
            if not info.is_required()
            for name in (field, info.alias)
        }
        return {key: item for key, item in value.items() if item is not None or key not in optional}


@dataclass(frozen=True)
class Tool:
    """One callable tool; knows nothing of the protocol that carries it.

    `run` takes an instance of `params` and its caller, and returns an instance of `result`; it changes
    nothing, and the same arguments and answers give the same result.
    `when`, `good_at` and `bad_at` are what telemetry announces: occasions to call it, strengths and limits, a
    few words each (DCAP allows 5 of 64 characters, 5 of 32 and 3 of 32).
    `render` turns a result into a short text for people. `examples` are ready argument
    objects (camelCase) that `run` accepts; the input schema carries them.
    """

    name: str
    title: str
    description: str
    params: type[BaseModel]
    result: type[BaseModel]
    run: Callable[[Any, Client], BaseModel]
    render: Callable[[Any], str]
    examples: tuple[dict[str, Any], ...]
    tags: tuple[str, ...] = ()
    when: tuple[str, ...] = ()
    good_at: tuple[str, ...] = ()
    bad_at: tuple[str, ...] = ()

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments (root type object), with `examples`."""
        schema = _schema(self.params, "validation")
        return {**schema, "examples": [dict(example) for example in self.examples]}

    @property
    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of the result (root type object)."""
        return _schema(self.result, "serialization")

    @property
    def vocabulary(self) -> dict[str, frozenset[str]]:
        """Argument names, each with its enumerated values: what telemetry may tell as it is."""
        schema = self.input_schema
        definitions = schema.get("$defs", {})
        return {name: frozenset(_words(entry, definitions)) for name, entry in schema["properties"].items()}


def _words(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[str]:
    yield from (word for word in schema.get("enum", ()) if isinstance(word, str))
    for choice in schema.get("anyOf", ()):
        yield from _words(choice, definitions)
    if "$ref" in schema:
        yield from _words(definitions[schema["$ref"].rpartition("/")[2]], definitions)


class _Untitled(GenerateJsonSchema):
    """Leaves out the titles that would only repeat the names of the fields."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schema(model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True, mode=mode, schema_generator=_Untitled)
