"""Telling a client, or a log, what a pydantic model has refused."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

__all__ = ["explain"]

_MAX_PROBLEMS = 3
_MAX_PLACE = 80


def explain(error: ValidationError) -> str:
    """Up to three problems in one line: places and reasons, never the values that were sent."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    told = [f"{_place(problem['loc'])}: {problem['msg']}" for problem in problems[:_MAX_PROBLEMS]]
    more = len(problems) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _place(location: Sequence[int | str]) -> str:
    """Where a problem is. Unknown member names are the sender's text, so they are cut and cleaned."""
    text = ".".join(str(part) for part in location)
    return "".join(character for character in text if character.isprintable())[:_MAX_PLACE] or "value"
