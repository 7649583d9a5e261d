"""The catalogue as MCP resources, prompts and completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import mcp_types

from canton_mcp import catalogue
from canton_mcp.protocol import Call, InvalidArguments, UnknownPrompt, UnknownResource
from canton_mcp.tools.base import MAX_CODE_CHARS, MAX_TEXT_CHARS

__all__ = ["CatalogueCompleter", "CataloguePrompts", "CatalogueResources"]

_MARKDOWN: Final = "text/markdown"
_MAX_CHARS: Final = {"code": MAX_CODE_CHARS, "text": MAX_TEXT_CHARS}


class CatalogueResources:
    """Every document of the catalogue as a resource."""

    def list_resources(self) -> Sequence[mcp_types.Resource]:
        """All documents, in the order of the catalogue (MCP "Resources")."""
        return [
            mcp_types.Resource(
                uri=entry.uri,
                name=entry.id,
                title=entry.title,
                description=entry.summary,
                mime_type=_MARKDOWN,
                size=len(entry.text.encode()),
            )
            for entry in catalogue.DOCUMENTS
        ]

    def list_templates(self) -> Sequence[mcp_types.ResourceTemplate]:
        """One template for each category."""
        return [
            mcp_types.ResourceTemplate(
                uri_template=shelf.uri_template,
                name=shelf.category,
                title=shelf.title,
                description=shelf.about,
                mime_type=_MARKDOWN,
            )
            for shelf in catalogue.SHELVES
        ]

    def read_resource(self, uri: str, call: Call) -> Sequence[mcp_types.TextResourceContents]:
        """The text of one document.

        Raises:
            UnknownResource: there is none with this address.
        """
        document = catalogue.find(uri)
        if document is None:
            raise UnknownResource(uri)
        return [_contents(document)]


class CataloguePrompts:
    """The prompts of the catalogue, with the resources they build on embedded."""

    def __init__(self) -> None:
        self._prompts = {prompt.name: prompt for prompt in catalogue.PROMPTS}

    def list_prompts(self) -> Sequence[mcp_types.Prompt]:
        """All prompts, in the order of the catalogue (MCP "Prompts")."""
        return [_described(prompt) for prompt in self._prompts.values()]

    def get_prompt(self, name: str, arguments: dict[str, str], call: Call) -> mcp_types.GetPromptResult:
        """One prompt with its arguments filled in.

        Raises:
            UnknownPrompt: no prompt has this name.
            InvalidArguments: an argument is unknown, missing, too long, or no level.
        """
        prompt = self._prompts.get(name)
        if prompt is None:
            raise UnknownPrompt(name)
        parts = prompt.build(_checked(prompt, arguments))
        return mcp_types.GetPromptResult(
            description=prompt.description,
            messages=[mcp_types.PromptMessage(role="user", content=_content(part)) for part in parts],
        )


class CatalogueCompleter:
    """Ids of documents, and values of prompt arguments."""

    def complete(
        self,
        ref: mcp_types.PromptReference | mcp_types.ResourceTemplateReference,
        argument: str,
        value: str,
        context: Mapping[str, str],
    ) -> Sequence[str]:
        """All values that begin with `value` (MCP "Completion").

        Raises:
            UnknownPrompt: `ref` names no prompt.
            UnknownResource: `ref` names no template.
        """
        if isinstance(ref, mcp_types.PromptReference):
            try:
                return catalogue.completion.of_prompt(ref.name, argument, value)
            except LookupError:
                raise UnknownPrompt(ref.name) from None
        try:
            return catalogue.completion.of_template(ref.uri, argument, value)
        except LookupError:
            raise UnknownResource(ref.uri) from None


def _described(prompt: catalogue.Prompt) -> mcp_types.Prompt:
    return mcp_types.Prompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description,
        arguments=[
            mcp_types.PromptArgument(
                name=argument.name,
                title=argument.title,
                description=argument.description,
                required=argument.required,
            )
            for argument in prompt.arguments
        ],
    )


def _checked(prompt: catalogue.Prompt, arguments: Mapping[str, str]) -> dict[str, str]:
    """The arguments that were given; one that is blank counts as not given."""
    known = {argument.name: argument for argument in prompt.arguments}
    for name in arguments:
        if name not in known:
            raise InvalidArguments(f"{prompt.name} has no argument {name[:64]!r}; it has {', '.join(known)}")
    given = {name: value for name, value in arguments.items() if value.strip()}
    for name, argument in known.items():
        if argument.required and name not in given:
            raise InvalidArguments(f"{prompt.name} needs the argument '{name}': {argument.description}")
        if name in given:
            _check(argument, given[name])
    return given


def _check(argument: catalogue.Argument, value: str) -> None:
    if argument.form == "level":
        if value not in catalogue.LEVELS:
            raise InvalidArguments(f"'{argument.name}' must be one of {', '.join(catalogue.LEVELS)}")
    elif len(value) > _MAX_CHARS[argument.form]:
        most = _MAX_CHARS[argument.form]
        raise InvalidArguments(
            f"'{argument.name}' has {len(value):,} characters, at most {most:,} are read: send the part that matters"
        )


def _content(part: str | catalogue.Document) -> mcp_types.TextContent | mcp_types.EmbeddedResource:
    if isinstance(part, str):
        return mcp_types.TextContent(type="text", text=part)
    return mcp_types.EmbeddedResource(type="resource", resource=_contents(part))


def _contents(document: catalogue.Document) -> mcp_types.TextResourceContents:
    return mcp_types.TextResourceContents(uri=document.uri, mime_type=_MARKDOWN, text=document.text)
