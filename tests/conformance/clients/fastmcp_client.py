"""The client of FastMCP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fastmcp
import mcp
import mcp_types
from fastmcp.client.elicitation import ElicitResult
from plan import Account, Answers, Era, Outcome, Plan, Step, form_content
from pydantic import BaseModel

__all__ = ["drive"]


async def drive(url: str, era: Era, plan: Plan) -> Account:
    """Work through a plan on one connection."""
    user = _User(plan["answers"])
    async with fastmcp.Client(url, mode="auto" if era == "modern" else "legacy", **user.handlers) as client:
        steps = [await _outcome(client, user, step) for step in plan["steps"]]
        return {"version": str(client.protocol_version), "steps": steps}


class _User:
    """Answers what the server asks, and remembers that it asked."""

    def __init__(self, answers: Answers | None) -> None:
        self._answers = answers
        self.asked: list[str] = []

    @property
    def handlers(self) -> dict[str, Any]:
        if self._answers is None:
            return {}
        return {
            "elicitation_handler": self._elicit,
            "sampling_handler": self._sample,
            "roots": self._list_roots,
        }

    async def _elicit(
        self, message: str, form: type | None, params: mcp_types.ElicitRequestParams, context: Any
    ) -> Any:
        self.asked.append("elicitation/create")
        assert self._answers and isinstance(params, mcp_types.ElicitRequestFormParams)
        content = form_content(self._answers, params.requested_schema)
        return ElicitResult(action="decline") if content is None else content

    async def _sample(self, messages: Any, params: Any, context: Any) -> str:
        self.asked.append("sampling/createMessage")
        assert self._answers
        return self._answers["model"]

    async def _list_roots(self, context: Any) -> list[str]:
        self.asked.append("roots/list")
        assert self._answers
        return list(self._answers["roots"])


async def _outcome(client: fastmcp.Client[Any], user: _User, step: Step) -> Outcome:
    told: list[list[Any]] = []
    user.asked.clear()

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append([progress, total, message])

    try:
        result = await _do(
            client, step["method"], dict(step.get("params", {})), tell if step.get("progress") else None
        )
    except mcp.MCPError as error:
        return {"error": {"code": error.code, "message": error.message}}
    return {"result": result, "progress": told, "asked": sorted(user.asked)}


async def _do(client: fastmcp.Client[Any], method: str, params: dict[str, Any], tell: Any) -> dict[str, Any]:
    """The result, put together again from the parts that this client hands out."""
    match method:
        case "tools/list":
            return {"tools": _wire(await client.list_tools())}
        case "tools/call":
            called = await client.call_tool(
                params["name"], params.get("arguments"), progress_handler=tell, raise_on_error=False
            )
            return {
                "content": _wire(called.content),
                "structuredContent": called.structured_content,
                "isError": called.is_error,
            }
        case "resources/list":
            return {"resources": _wire(await client.list_resources())}
        case "resources/templates/list":
            return {"resourceTemplates": _wire(await client.list_resource_templates())}
        case "resources/read":
            return {"contents": _wire(await client.read_resource(params["uri"]))}
        case "prompts/list":
            return {"prompts": _wire(await client.list_prompts())}
        case "prompts/get":
            got = await client.get_prompt(params["name"], params.get("arguments"))
            return {"messages": _wire(got.messages)}
        case "completion/complete":
            completed = await client.complete(_reference(params["ref"]), params["argument"])
            return {"completion": completed.model_dump(mode="json", by_alias=True, exclude_none=True)}
    raise ValueError(method)


def _reference(ref: dict[str, str]) -> mcp_types.PromptReference | mcp_types.ResourceTemplateReference:
    if ref["type"] == "ref/prompt":
        return mcp_types.PromptReference.model_validate(ref)
    return mcp_types.ResourceTemplateReference.model_validate(ref)


def _wire(models: Sequence[BaseModel]) -> list[Any]:
    return [model.model_dump(mode="json", by_alias=True, exclude_none=True) for model in models]
