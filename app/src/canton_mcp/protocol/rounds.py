"""Requests that take several rounds (MCP 2026-07-28, "Multi Round-Trip Requests").

The client carries what was said so far from round to round in a sealed ``requestState``, so that each round
may be served by another server. The seal binds it to the request that it belongs to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import mcp_types

from canton_mcp.protocol import jsonrpc
from canton_mcp.protocol.call import InputRequired, read_answer
from canton_mcp.protocol.jsonrpc import INVALID_PARAMS, Message, RpcError
from canton_mcp.protocol.seals import BrokenSeal, Seals

__all__ = ["Rounds"]

LIFETIME_SEC: Final = 600
_PURPOSE: Final = "requestState"
_VARIABLE: Final = ("_meta", "inputResponses", "requestState")
"""Members of the parameters that may differ between rounds."""


class Rounds:
    """What the client has answered so far for one request; called, it answers questions or ends the round."""

    def __init__(self, seals: Seals, message: Message) -> None:
        """Read a request's part in an exchange of several rounds.

        Raises:
            RpcError: the answers are not an object, or the state was not made for this request (-32602).
        """
        self._seals = seals
        self._request = _digest(message)
        self._answers = {**self._earlier(message.arguments), **_sent(message.arguments)}
        self._used: dict[str, Any] = {}

    def __call__(
        self, requests: Mapping[str, mcp_types.InputRequest]
    ) -> Mapping[str, mcp_types.InputResponse]:
        """The answers to `requests`.

        Raises:
            InputRequired: some are missing, or do not fit.
        """
        found: dict[str, mcp_types.InputResponse] = {}
        for key, request in requests.items():
            read = read_answer(request, self._answers.get(key))
            if read is not None:
                found[key] = read
                self._used[key] = self._answers[key]
        missing = {key: request for key, request in requests.items() if key not in found}
        if missing:
            raise InputRequired(missing)
        return found

    def result(self, required: InputRequired) -> mcp_types.InputRequiredResult:
        """The answer that ends this round; its state has all that was said and used so far."""
        state = self._seals.seal(_PURPOSE, [self._request, self._used], LIFETIME_SEC)
        return mcp_types.InputRequiredResult(input_requests=required.requests, request_state=state)

    def _earlier(self, params: Mapping[str, Any]) -> dict[str, Any]:
        if "requestState" not in params:
            return {}
        state = params["requestState"]
        try:
            request, answers = self._seals.open(_PURPOSE, state if isinstance(state, str) else "")
        except (BrokenSeal, TypeError, ValueError):  # another release may seal other things
            raise RpcError(INVALID_PARAMS, "Invalid or expired requestState") from None
        if request != self._request:
            raise RpcError(INVALID_PARAMS, "Invalid or expired requestState")
        return dict(answers)


def _sent(params: Mapping[str, Any]) -> dict[str, Any]:
    answers = params.get("inputResponses", {})
    if not isinstance(answers, dict):
        raise RpcError(INVALID_PARAMS, "inputResponses must be an object")
    return answers


def _digest(message: Message) -> str:
    """Stands for the method and all that the client asks for, whatever the order of its members."""
    asked = {key: value for key, value in message.arguments.items() if key not in _VARIABLE}
    return hashlib.sha256(jsonrpc.encode([message.method, asked], sort=True)).hexdigest()[:32]
