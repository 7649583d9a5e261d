"""The client of the Python SDK."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import mcp
import mcp_types
from mcp.client.session import ClientRequestContext
from plan import Account, Answers, Era, Outcome, Plan, Step, form_content
from pydantic import BaseModel, FileUrl

__all__ = ["drive"]

_Page = TypeVar("_Page", bound=mcp_types.PaginatedResult)


async def drive(url: str, era: Era, plan: Plan) -> Account:
    """Work through a plan on one connection."""
    user = _User(plan["answers"])
    async with mcp.Client(url, mode="auto" if era == "modern" else "legacy", **user.callbacks) as client:
        steps = [await _outcome(client, user, step) for step in plan["steps"]]
        return {"version": client.protocol_version, "steps": steps}


class _User:
    """Answers what the server asks, and remembers that it asked."""

    def __init__(self, answers: Answers | None) -> None:
        self._answers = answers
        self.asked: list[str] = []

    @property
    def callbacks(self) -> dict[str, Any]:
        if self._answers is None:
            return {}
        return {
            "elicitation_callback": self._elicit,
            "sampling_callback": self._sample,
            "list_roots_callback": self._list_roots,
        }

    async def _elicit(
        self, context: ClientRequestContext, params: mcp_types.ElicitRequestParams
    ) -> mcp_types.ElicitResult:
        self.asked.append("elicitation/create")
        assert self._answers and isinstance(params, mcp_types.ElicitRequestFormParams)
        content = form_content(self._answers, params.requested_schema)
        return mcp_types.ElicitResult(action="decline" if content is None else "accept", content=content)

    async def _sample(
        self, context: ClientRequestContext, params: mcp_types.CreateMessageRequestParams
    ) -> mcp_types.CreateMessageResult:
        self.asked.append("sampling/createMessage")
        assert self._answers
        said = mcp_types.TextContent(type="text", text=self._answers["model"])
        return mcp_types.CreateMessageResult(role="assistant", content=said, model="test")

    async def _list_roots(self, context: ClientRequestContext) -> mcp_types.ListRootsResult:
        self.asked.append("roots/list")
        assert self._answers
        return mcp_types.ListRootsResult(
            roots=[mcp_types.Root(uri=FileUrl(root)) for root in self._answers["roots"]]
        )


async def _outcome(client: mcp.Client, user: _User, step: Step) -> Outcome:
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
    wire = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"result": wire, "progress": told, "asked": sorted(user.asked)}


async def _do(client: mcp.Client, method: str, params: dict[str, Any], tell: Any) -> BaseModel:
    match method:
        case "tools/list":
            return await _all_pages(client.list_tools, "tools")
        case "tools/call":
            return await client.call_tool(params["name"], params.get("arguments"), progress_callback=tell)
        case "resources/list":
            return await _all_pages(client.list_resources, "resources")
        case "resources/templates/list":
            return await _all_pages(client.list_resource_templates, "resource_templates")
        case "resources/read":
            return await client.read_resource(params["uri"])
        case "prompts/list":
            return await _all_pages(client.list_prompts, "prompts")
        case "prompts/get":
            return await client.get_prompt(params["name"], params.get("arguments"))
        case "completion/complete":
            return await client.complete(_reference(params["ref"]), params["argument"])
    raise ValueError(method)


async def _all_pages(list_page: Callable[..., Awaitable[_Page]], member: str) -> _Page:
    """The first page, with the entries of all others put behind its own. This client gives out pages."""
    first = page = await list_page()
    while page.next_cursor:
        page = await list_page(cursor=page.next_cursor)
        getattr(first, member).extend(getattr(page, member))
    return first


def _reference(ref: dict[str, str]) -> mcp_types.PromptReference | mcp_types.ResourceTemplateReference:
    if ref["type"] == "ref/prompt":
        return mcp_types.PromptReference.model_validate(ref)
    return mcp_types.ResourceTemplateReference.model_validate(ref)
