"""Tool `recommend_canonical_resources`: which patterns, rules and guides fit what somebody builds?"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from canton_mcp import catalogue
from canton_mcp.catalogue import Category, Complexity
from canton_mcp.tools.base import (
    MAX_ITEM_CHARS,
    MAX_ITEMS,
    MAX_TEXT_CHARS,
    SILENT,
    Client,
    ParamsModel,
    ResultModel,
    Tool,
)

Item = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_ITEM_CHARS)]
Level = Literal["basic", "enhanced", "high", "enterprise"]


class RecommendParams(ParamsModel):
    """Arguments of `recommend_canonical_resources`."""

    use_case: str = Field(
        default="",
        max_length=MAX_ITEM_CHARS,
        description=f"What it is about: {', '.join(catalogue.USE_CASES)}, or words of your own.",
    )
    description: str = Field(
        min_length=1, max_length=MAX_TEXT_CHARS, description="What you build, ask, or have trouble with."
    )
    security_level: Level = Field(
        default="basic",
        description="basic: the skeleton; enhanced: also guards, expiry and ways out; high (or enterprise): also "
        "joint control of value moves.",
    )
    complexity_level: Complexity | None = Field(
        default=None, description="Patterns above this level come behind the others."
    )
    constraints: list[Item] = Field(
        default_factory=list, max_length=MAX_ITEMS, description="Things the solution must respect."
    )
    existing_patterns: list[Item] = Field(
        default_factory=list,
        max_length=MAX_ITEMS,
        description="Patterns that you use already, by id, name or URI; they are left out.",
    )


class RecommendationInfo(ResultModel):
    """One resource that fits."""

    uri: str = Field(description="Address for resources/read.")
    category: Category
    id: str
    title: str
    summary: str
    score: int = Field(description="Weight of what points to it; comparable within one answer.")
    reason: str
    complexity: Complexity | None = Field(description="Of a pattern, by the length of its skeleton.")
    hardening: list[str] = Field(description="What the security level asks for beyond the skeleton.")


class RecommendResult(ResultModel):
    """Result of `recommend_canonical_resources`."""

    summary: str
    recommendations: list[RecommendationInfo] = Field(description="The best first; empty when nothing fits.")
    use_case: str
    use_cases: list[str] = Field(description="Use cases known by name.")
    total_resources: int


def run(params: RecommendParams, client: Client = SILENT) -> RecommendResult:
    """Ranks the catalogue by the words of the request."""
    text = "\n".join([params.description, *params.constraints])
    excluded = _ids(params.existing_patterns)
    found = catalogue.recommend(text, use_case=params.use_case, excluded=excluded, limit=_CONSIDERED)
    ranked = sorted(found, key=lambda entry: _too_complex(entry.document, params.complexity_level))[:_MOST]
    return RecommendResult(
        summary=_summary(len(ranked), excluded),
        recommendations=[_info(entry, params.security_level) for entry in ranked],
        use_case=params.use_case,
        use_cases=list(catalogue.USE_CASES),
        total_resources=len(catalogue.DOCUMENTS),
    )


def render(result: RecommendResult) -> str:
    """What fits, why, and what the level asks for."""
    lines = [result.summary]
    for number, entry in enumerate(result.recommendations, 1):
        lines.append(f"{number}. {entry.title} ({entry.uri}): {entry.reason}. {entry.summary}")
        lines += [f"   - {item}" for item in entry.hardening]
    if not result.recommendations:
        lines.append(f"Use cases known by name: {', '.join(result.use_cases)}")
    return "\n".join(lines)


def _ids(names: list[str]) -> set[str]:
    """Ids of the documents that are meant by ids, names or addresses; what is unknown excludes nothing."""
    wanted = {name.lower().replace("_", "-") for name in names}
    return {
        entry.id
        for entry in catalogue.DOCUMENTS
        if wanted & {entry.id, entry.uri, entry.title.lower(), entry.title.lower().replace(" ", "-")}
    }


def _too_complex(document: catalogue.Document, most: Complexity | None) -> bool:
    if most is None or document.pattern is None:
        return False
    return _COMPLEXITIES.index(catalogue.complexity(document.pattern)) > _COMPLEXITIES.index(most)


def _summary(count: int, excluded: set[str]) -> str:
    without = f" (left out: {', '.join(sorted(excluded))})" if excluded else ""
    if count:
        return f"{count} of {len(catalogue.DOCUMENTS)} resources fit{without}; the best comes first."
    return (
        f"No resource of the catalogue fits this request{without}, and a guess would be worth nothing. Say who is "
        "bound, who acts and what moves, or give the error text; get_canonical_resource_overview lists everything."
    )


def _info(entry: catalogue.Recommendation, level: Level) -> RecommendationInfo:
    document, pattern = entry.document, entry.document.pattern
    enhanced = pattern.enhanced if pattern and level != "basic" else ()
    high = pattern.high if pattern and level in ("high", "enterprise") else ()
    return RecommendationInfo(
        uri=document.uri,
        category=document.category,
        id=document.id,
        title=document.title,
        summary=document.summary,
        score=entry.score,
        reason=entry.reason,
        complexity=catalogue.complexity(pattern) if pattern else None,
        hardening=[*enhanced, *high],
    )


_CONSIDERED = 20
_MOST = 5
_COMPLEXITIES: tuple[Complexity, ...] = ("beginner", "intermediate", "advanced")

EXAMPLES: tuple[dict[str, Any], ...] = (
    {
        "useCase": "asset_transfer",
        "description": "Building a registry of tokenized bonds that owners can transfer to each other.",
        "securityLevel": "basic",
    },
    {
        "useCase": "governance",
        "description": "Three of five directors approve a payment before it leaves the treasury.",
        "securityLevel": "high",
        "constraints": ["No director approves twice"],
    },
    {
        "description": "Exercising Accept fails: contract not visible to the reading parties.",
        "existingPatterns": ["propose-accept"],
    },
)

TOOL = Tool(
    name="recommend_canonical_resources",
    title="Recommend canonical resources",
    description="Recommends patterns, rules and guides on authorization in DAML for a use case, a description or an "
    "error, the best first, each with its URI, the words that point to it, and what the security level asks for. "
    "Says so when nothing fits.",
    params=RecommendParams,
    result=RecommendResult,
    run=run,
    render=render,
    examples=EXAMPLES,
    tags=("daml", "authorization", "catalogue"),
    when=(
        "find patterns and guides for a DAML use case",
        "look up what explains an authorization error",
        "choose what to read before writing a contract",
    ),
    good_at=(
        "ranking by words of the question",
        "URIs that can be read at once",
    ),
    bad_at=("subjects beyond authorization",),
)
