"""What a client is to do, and what came of it.

A plan is a JSON object. Its ``steps`` are requests, ``{"method": "tools/call", "params": {...}}``, with ``"progress":
true`` where the client is to ask for progress. ``answers`` holds what the client's user says when a server asks;
without them the client declares that it cannot be asked. ``rounds`` is how often all of it is done, each time on a
connection of its own.

An account of a round is a JSON object as well: the protocol ``version`` that was agreed on, and for each of ``steps``
the ``result`` as it is on the wire, or an ``error`` with code and message, or ``"lacks": true`` where the client has no
such operation; with the ``progress`` that was told and the methods by which the client was ``asked``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

__all__ = ["Account", "Answers", "Era", "Outcome", "Plan", "Step", "form_content"]

Era = Literal["modern", "legacy"]


class Step(TypedDict):
    """One request."""

    method: str
    params: NotRequired[Mapping[str, Any]]
    progress: NotRequired[bool]


class Answers(TypedDict):
    """What the user of a client says."""

    form: Mapping[str, Any] | None
    """Values for the fields of forms; None refuses every form."""
    model: str
    """What the model says."""
    roots: Sequence[str]
    """Addresses of directories."""


class Plan(TypedDict):
    """What a client is to do."""

    steps: Sequence[Step]
    answers: Answers | None
    rounds: int


class Outcome(TypedDict):
    """What came of a step."""

    result: NotRequired[Mapping[str, Any]]
    error: NotRequired[Mapping[str, Any]]
    lacks: NotRequired[bool]
    progress: NotRequired[Sequence[Sequence[Any]]]
    asked: NotRequired[Sequence[str]]


class Account(TypedDict):
    """What came of a round."""

    version: str
    steps: Sequence[Outcome]


def form_content(answers: Answers, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """The answers to the fields that a form has; None when the form is refused."""
    form = answers["form"]
    return None if form is None else {name: form[name] for name in schema["properties"] if name in form}
