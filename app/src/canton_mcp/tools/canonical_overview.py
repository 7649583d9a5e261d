"""Tool `get_canonical_resource_overview`: what is there to read on this server?"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from canton_mcp import catalogue
from canton_mcp.catalogue import Category
from canton_mcp.tools.base import SILENT, Client, ParamsModel, ResultModel, Tool


class OverviewParams(ParamsModel):
    """Arguments of `get_canonical_resource_overview`."""

    category: Category | None = Field(default=None, description="One category; all of them without it.")


class ResourceInfo(ResultModel):
    """A resource in one line."""

    uri: str = Field(description="Address for resources/read.")
    id: str
    title: str
    summary: str


class GroupInfo(ResultModel):
    """All resources of a category."""

    category: Category
    title: str
    about: str = Field(description="What each resource of the category holds.")
    uri_template: str
    resources: list[ResourceInfo]


class PromptInfo(ResultModel):
    """A prompt of this server in one line."""

    name: str
    description: str


class OverviewResult(ResultModel):
    """Result of `get_canonical_resource_overview`."""

    summary: str
    groups: list[GroupInfo]
    prompts: list[PromptInfo]
    use_cases: list[str] = Field(description="Use cases that recommend_canonical_resources knows by name.")


def run(params: OverviewParams, client: Client = SILENT) -> OverviewResult:
    """Lists the catalogue, or one category of it."""
    shelves = [shelf for shelf in catalogue.SHELVES if params.category in (None, shelf.category)]
    counts = ", ".join(f"{len(shelf.documents)} {shelf.category}" for shelf in shelves)
    return OverviewResult(
        summary=f"{counts}. Read one by its URI, or let recommend_canonical_resources choose.",
        groups=[_group(shelf) for shelf in shelves],
        prompts=[
            PromptInfo(name=prompt.name, description=prompt.description) for prompt in catalogue.PROMPTS
        ],
        use_cases=list(catalogue.USE_CASES),
    )


def render(result: OverviewResult) -> str:
    """One line for each resource and prompt."""
    lines = [result.summary]
    for group in result.groups:
        lines += ["", f"{group.title}: {group.about}"]
        lines += [f"- {entry.uri}: {entry.title}. {entry.summary}" for entry in group.resources]
    lines += ["", "Prompts:"]
    lines += [f"- {prompt.name}: {prompt.description}" for prompt in result.prompts]
    lines += ["", f"Use cases: {', '.join(result.use_cases)}"]
    return "\n".join(lines)


def _group(shelf: catalogue.Shelf) -> GroupInfo:
    return GroupInfo(
        category=shelf.category,
        title=shelf.title,
        about=shelf.about,
        uri_template=shelf.uri_template,
        resources=[
            ResourceInfo(uri=entry.uri, id=entry.id, title=entry.title, summary=entry.summary)
            for entry in shelf.documents
        ],
    )


EXAMPLES: tuple[dict[str, Any], ...] = ({}, {"category": "patterns"}, {"category": "rules"})

TOOL = Tool(
    name="get_canonical_resource_overview",
    title="Overview of canonical resources",
    description="Lists what this server has to read on authorization in DAML: patterns with skeletons, the rules "
    "of the validator with wrong and right examples, and guides; each with its URI and one line.",
    params=OverviewParams,
    result=OverviewResult,
    run=run,
    render=render,
    examples=EXAMPLES,
    tags=("daml", "authorization", "catalogue"),
    when=("see what there is to read on DAML authorization", "find the URI of a pattern, a rule or a guide"),
    good_at=("an overview in one call",),
    bad_at=("picking what fits a use case",),
)
