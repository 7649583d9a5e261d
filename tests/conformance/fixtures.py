"""What the conformance suite wants to find on a server: its tools, resources, prompts and completions.

Not the product's: they stand in for it on the same transport. Names, texts and schemas are the suite's.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import canton_mcp.web
import mcp_types
from canton_mcp.protocol.call import Call
from canton_mcp.protocol.features import (
    Features,
    InvalidArguments,
    UnknownPrompt,
    UnknownResource,
    UnknownTool,
)
from flask import Flask
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    PromptMessage,
    TextContent,
    TextResourceContents,
)
from siblings import Siblings

__all__ = ["create_app"]

Schema = Mapping[str, Any]
Contents = TextResourceContents | BlobResourceContents
Content = TextContent | ImageContent | AudioContent | mcp_types.ResourceLink | EmbeddedResource

Handler = Callable[[Call, dict[str, Any]], CallToolResult]

STEP_SEC: Final = 0.05
NO_ARGUMENTS: Final[Schema] = {"type": "object", "properties": {}}
PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WAV: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="


# -- building blocks -------------------------------------------------------------------------------------


def text(words: str) -> TextContent:
    return TextContent(type="text", text=words)


def image() -> ImageContent:
    return ImageContent(type="image", data=PNG, mime_type="image/png")


def embedded(uri: str, words: str, mime_type: str = "text/plain") -> EmbeddedResource:
    resource = TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    return EmbeddedResource(type="resource", resource=resource)


def user(content: Content) -> PromptMessage:
    return PromptMessage(role="user", content=content)


def form(message: str, properties: Schema, required: Sequence[str] = ()) -> mcp_types.ElicitRequest:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return mcp_types.ElicitRequest(
        params=mcp_types.ElicitRequestFormParams(message=message, requested_schema=schema)
    )


def field_form(message: str, name: str, kind: str = "string") -> mcp_types.ElicitRequest:
    return form(message, {name: {"type": kind}}, [name])


def sampling(prompt: str, max_tokens: int = 100) -> mcp_types.CreateMessageRequest:
    message = mcp_types.SamplingMessage(role="user", content=text(prompt))
    return mcp_types.CreateMessageRequest(
        params=mcp_types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def roots() -> mcp_types.ListRootsRequest:
    return mcp_types.ListRootsRequest(params=mcp_types.RequestParams())


def answer_text(answer: mcp_types.InputResponse) -> str:
    """A client's answer as the tools repeat it."""
    match answer:
        case mcp_types.ElicitResult():
            return f"action={answer.action}, content={json.dumps(answer.content)}"
        case mcp_types.ListRootsResult():
            return ", ".join(str(root.uri) for root in answer.roots)
        case mcp_types.CreateMessageResult(content=TextContent(text=words)):
            return words
    return answer.model_dump_json(by_alias=True)


def options(*values: str) -> list[dict[str, str]]:
    """Choices with titles, as a form has them; ``"value1=First"`` for each."""
    return [dict(zip(("const", "title"), value.split("="), strict=True)) for value in values]


# -- tools -----------------------------------------------------------------------------------------------


class Tool(NamedTuple):
    """A row of the table of tools."""

    description: str
    run: Handler
    schema: Schema = NO_ARGUMENTS


def says(*content: Content, is_error: bool = False) -> CallToolResult:
    return CallToolResult(content=list(content), is_error=is_error)


def constant(*content: Content, is_error: bool = False) -> Handler:
    return lambda call, arguments: says(*content, is_error=is_error)


def asks(prefix: str, *rounds: Mapping[str, mcp_types.InputRequest]) -> Handler:
    """A tool that puts one round of requests after the other and repeats all answers."""

    def run(call: Call, arguments: dict[str, Any]) -> CallToolResult:
        answers = [answer for requests in rounds for answer in call.ask_all(requests).values()]
        return says(text(prefix + "; ".join(answer_text(answer) for answer in answers)))

    return run


def with_progress(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    for done in (0, 50, 100):
        call.progress(done, 100, f"Completed step {done} of 100")
        time.sleep(STEP_SEC)
    return says(text("Progress told"))


def with_logging(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    for stage in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        call.log("info", stage, "conformance")
        time.sleep(STEP_SEC)
    return says(text("Stages logged"))


def with_sampling(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    answer = call.ask("sample", sampling(arguments["prompt"]))
    return says(text(f"LLM response: {answer_text(answer)}"))


def with_elicitation(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    fields = {"username": {"type": "string"}, "email": {"type": "string"}}
    answer = call.ask("user", form(arguments["message"], fields, list(fields)))
    return says(text(f"User response: {answer_text(answer)}"))


def without_capability(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    call.require(sampling={})
    return says(text("The client declared sampling"))


def streaming_elicitation(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    """Tells something on the stream of its answer before it asks."""
    call.log("info", "About to ask")
    call.progress(1, 2, "About to ask")
    answer = call.ask("go_on", field_form("Go on?", "ok", "boolean"))
    return says(text(f"Asked: {answer_text(answer)}"))


def what_the_client_can(call: Call, arguments: dict[str, Any]) -> CallToolResult:
    """Asks only what the client said it answers."""
    possible: dict[str, mcp_types.InputRequest] = {
        "question": sampling("What is the capital of France?"),
        "name": field_form("What is your name?", "name"),
        "client_roots": roots(),
    }
    answers = call.ask_all({key: ask for key, ask in possible.items() if call.can_ask(ask.method)})
    return says(text("; ".join(answer_text(answer) for answer in answers.values())))


def strings(*names: str) -> Schema:
    properties = {name: {"type": "string"} for name in names}
    return {"type": "object", "properties": properties, "required": list(names)}


DEFAULTS: Final[Schema] = {
    "name": {"type": "string", "default": "John Doe"},
    "age": {"type": "integer", "default": 30},
    "score": {"type": "number", "default": 95.5},
    "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    "verified": {"type": "boolean", "default": True},
}
THREE: Final = ["option1", "option2", "option3"]
CHOICES: Final[Schema] = {
    "untitledSingle": {"type": "string", "enum": THREE},
    "titledSingle": {"type": "string", "oneOf": options("value1=First Option", "value2=Second Option")},
    "legacyEnum": {
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    "untitledMulti": {"type": "array", "items": {"type": "string", "enum": THREE}},
    "titledMulti": {
        "type": "array",
        "items": {"anyOf": options("value1=First Choice", "value2=Second Choice")},
    },
}
EVERY_KEYWORD: Final[Schema] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
REGION: Final[Schema] = {
    "type": "object",
    "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
}

CONFIRM: Final = {"confirm": field_form("Please confirm", "ok", "boolean")}
NAME: Final = {"user_name": field_form("What is your name?", "name")}


def tools(announce: Callable[[str], None]) -> dict[str, Tool]:
    """Every tool by its name; `announce` tells the fleet that a list has changed."""

    def changes(what: str) -> Handler:
        def run(call: Call, arguments: dict[str, Any]) -> CallToolResult:
            announce(what)
            return says(text(f"The list of {what} has changed"))

        return run

    mixed = embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json")
    return {
        "test_simple_text": Tool("Text", constant(text("This is a simple text response for testing."))),
        "test_image_content": Tool("An image", constant(image())),
        "test_audio_content": Tool(
            "Audio", constant(AudioContent(type="audio", data=WAV, mime_type="audio/wav"))
        ),
        "test_embedded_resource": Tool(
            "A resource",
            constant(embedded("test://embedded-resource", "This is an embedded resource content.")),
        ),
        "test_multiple_content_types": Tool(
            "Three kinds of content", constant(text("Multiple content types test:"), image(), mixed)
        ),
        "test_error_handling": Tool(
            "An error",
            constant(text("This tool intentionally returns an error for testing"), is_error=True),
        ),
        "test_tool_with_progress": Tool("Tells its progress", with_progress),
        "test_tool_with_logging": Tool("Logs what it does", with_logging),
        "test_sampling": Tool("Lets the client's model speak", with_sampling, strings("prompt")),
        "test_elicitation": Tool("Asks the user", with_elicitation, strings("message")),
        "test_elicitation_sep1034_defaults": Tool(
            "Asks with defaults", asks("Elicitation completed: ", {"defaults": form("Check these", DEFAULTS)})
        ),
        "test_elicitation_sep1330_enums": Tool(
            "Asks with choices", asks("Elicitation completed: ", {"choices": form("Choose", CHOICES)})
        ),
        "json_schema_2020_12_tool": Tool(
            "Has every keyword in its schema", constant(text("Listed")), EVERY_KEYWORD
        ),
        "test_x_mcp_header": Tool("Has an argument in a header", constant(text("Routed")), REGION),
        "test_missing_capability": Tool("Needs sampling", without_capability),
        "test_streaming_elicitation": Tool("Speaks, then asks", streaming_elicitation),
        "test_logging_tool": Tool("Logs where that is wanted", with_logging),
        "test_trigger_tool_change": Tool("Changes the list of tools", changes("tools")),
        "test_trigger_prompt_change": Tool("Changes the list of prompts", changes("prompts")),
        "test_input_required_result_elicitation": Tool("Asks for a name", asks("Hello, ", NAME)),
        "test_input_required_result_sampling": Tool(
            "Asks a model", asks("", {"capital_question": sampling("What is the capital of France?")})
        ),
        "test_input_required_result_list_roots": Tool("Asks for roots", asks("", {"client_roots": roots()})),
        "test_input_required_result_request_state": Tool("Keeps a state", asks("state-ok: ", CONFIRM)),
        "test_input_required_result_tampered_state": Tool("Guards a state", asks("state-ok: ", CONFIRM)),
        "test_input_required_result_multiple_inputs": Tool(
            "Asks three things",
            asks("", {**NAME, "greeting": sampling("Generate a greeting", 50), "client_roots": roots()}),
        ),
        "test_input_required_result_multi_round": Tool(
            "Asks twice",
            asks(
                "",
                {"step1": field_form("Step 1: What is your name?", "name")},
                {"step2": field_form("Step 2: What is your favorite color?", "color")},
            ),
        ),
        "test_input_required_result_capabilities": Tool("Asks what can be answered", what_the_client_can),
    }


class Tools:
    """The table of tools as the protocol takes it."""

    def __init__(self, table: Mapping[str, Tool]) -> None:
        self._table = table

    def list_tools(self) -> Sequence[mcp_types.Tool]:
        return [
            mcp_types.Tool(name=name, description=tool.description, input_schema=dict(tool.schema))
            for name, tool in self._table.items()
        ]

    def call_tool(self, name: str, arguments: dict[str, Any], call: Call) -> CallToolResult:
        tool = self._table.get(name)
        if tool is None:
            raise UnknownTool(name)
        if missing := set(tool.schema.get("required", ())) - arguments.keys():
            raise InvalidArguments(f"{name}: missing {', '.join(sorted(missing))}")
        return tool.run(call, arguments)

    def refused(self, name: str, call: Call) -> None:
        """Nobody counts these calls."""


# -- resources -------------------------------------------------------------------------------------------

TEMPLATE: Final = "test://template/{id}/data"
RESOURCES: Final[Mapping[str, Contents]] = {
    contents.uri: contents
    for contents in (
        TextResourceContents(
            uri="test://static-text",
            mime_type="text/plain",
            text="This is the content of the static text resource.",
        ),
        BlobResourceContents(uri="test://static-binary", mime_type="image/png", blob=PNG),
        TextResourceContents(uri="test://watched-resource", mime_type="text/plain", text="Watched"),
    )
}


class Resources:
    """Three resources and a template."""

    def list_resources(self) -> Sequence[mcp_types.Resource]:
        return [
            mcp_types.Resource(name=uri.removeprefix("test://"), uri=uri, mime_type=contents.mime_type)
            for uri, contents in RESOURCES.items()
        ]

    def list_templates(self) -> Sequence[mcp_types.ResourceTemplate]:
        return [
            mcp_types.ResourceTemplate(name="template", uri_template=TEMPLATE, mime_type="application/json")
        ]

    def read_resource(self, uri: str, call: Call) -> Sequence[Contents]:
        if uri in RESOURCES:
            return [RESOURCES[uri]]
        before, after = TEMPLATE.split("{id}")
        identifier = uri.removeprefix(before).removesuffix(after)
        if not identifier or f"{before}{identifier}{after}" != uri:
            raise UnknownResource(uri)
        data = {"id": identifier, "templateTest": True, "data": f"Data for ID: {identifier}"}
        return [TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(data))]


# -- prompts and completion ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Prompt:
    """A row of the table of prompts; `arguments` are all required, each with the values to propose."""

    description: str
    get: Callable[[Call, dict[str, str]], list[Content]]
    arguments: Mapping[str, Sequence[str]] = field(default_factory=dict)


PROMPTS: Final[Mapping[str, Prompt]] = {
    "test_simple_prompt": Prompt(
        "Nothing but text", lambda call, arguments: [text("This is a simple prompt for testing.")]
    ),
    "test_prompt_with_arguments": Prompt(
        "Repeats its arguments",
        lambda call, arguments: [
            text(f"Prompt with arguments: arg1='{arguments['arg1']}', arg2='{arguments['arg2']}'")
        ],
        {"arg1": ("testValue1", "testing", "other"), "arg2": ("testValue2",)},
    ),
    "test_prompt_with_embedded_resource": Prompt(
        "Holds a resource",
        lambda call, arguments: [
            embedded(arguments["resourceUri"], "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
        {"resourceUri": ("test://example-resource",)},
    ),
    "test_prompt_with_image": Prompt(
        "Holds an image", lambda call, arguments: [image(), text("Please analyze the image above.")]
    ),
    "test_input_required_result_prompt": Prompt(
        "Asks before it answers",
        lambda call, arguments: [
            text(
                answer_text(
                    call.ask("user_context", field_form("What context should the prompt use?", "context"))
                )
            )
        ],
    ),
}


class Prompts:
    """The table of prompts as the protocol takes it."""

    def list_prompts(self) -> Sequence[mcp_types.Prompt]:
        return [
            mcp_types.Prompt(
                name=name,
                description=prompt.description,
                arguments=[mcp_types.PromptArgument(name=key, required=True) for key in prompt.arguments],
            )
            for name, prompt in PROMPTS.items()
        ]

    def get_prompt(self, name: str, arguments: dict[str, str], call: Call) -> mcp_types.GetPromptResult:
        prompt = PROMPTS.get(name)
        if prompt is None:
            raise UnknownPrompt(name)
        if missing := prompt.arguments.keys() - arguments.keys():
            raise InvalidArguments(f"{name}: missing {', '.join(sorted(missing))}")
        return mcp_types.GetPromptResult(messages=[user(content) for content in prompt.get(call, arguments)])


class Completer:
    """Proposes the values in the table of prompts, and numbers for the template."""

    def complete(
        self,
        ref: mcp_types.PromptReference | mcp_types.ResourceTemplateReference,
        argument: str,
        value: str,
        context: Mapping[str, str],
    ) -> Sequence[str]:
        match ref:
            case mcp_types.PromptReference(name=name):
                if name not in PROMPTS:
                    raise UnknownPrompt(name)
                proposed = PROMPTS[name].arguments.get(argument, ())
            case _:
                if ref.uri != TEMPLATE:
                    raise UnknownResource(ref.uri)
                proposed = [str(number) for number in range(1, 200)] if argument == "id" else ()
        return [proposal for proposal in proposed if proposal.startswith(value)]


# -- the application -------------------------------------------------------------------------------------


def create_app() -> Flask:
    """The product's application with these features; gunicorn calls it in each worker.

    CONFORMANCE_SIBLINGS is the directory in which the servers of one fleet meet.
    """
    directory = os.environ.get("CONFORMANCE_SIBLINGS") or tempfile.mkdtemp(prefix="siblings-")
    siblings = Siblings(Path(directory), str(os.getpid()))
    app = canton_mcp.web.create_app(
        features=Features(
            tools=Tools(tools(siblings.announce)),
            resources=Resources(),
            prompts=Prompts(),
            completer=Completer(),
            logging=True,
            asks=("elicitation/create", "sampling/createMessage", "roots/list"),
            list_changes=True,
            subscribable=True,
        )
    )
    siblings.listen(app.extensions["canton_mcp"].dispatcher.publish)
    return app
