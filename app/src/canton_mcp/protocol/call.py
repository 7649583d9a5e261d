"""One running request, as the code that works on it sees it: progress, log messages, questions to the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, get_args

import mcp_types
from pydantic import BaseModel, ValidationError

__all__ = [
    "Asker",
    "Call",
    "Cancelled",
    "CannotAsk",
    "Channel",
    "InputRequired",
    "MissingCapability",
    "read_answer",
]

LOG_LEVELS: Final[tuple[str, ...]] = get_args(mcp_types.LoggingLevel)
"""From the most talkative to the most severe."""

_ANSWERS: Final[Mapping[str, type[BaseModel]]] = {
    "elicitation/create": mcp_types.ElicitResult,
    "sampling/createMessage": mcp_types.CreateMessageResult,
    "roots/list": mcp_types.ListRootsResult,
}
_FORM_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
}


class Cancelled(Exception):
    """The client has gone, or has cancelled the request: whatever is still done is done for nobody."""


class CannotAsk(Exception):
    """The client cannot be asked; the text says why."""


class MissingCapability(CannotAsk):
    """The client did not declare what a request needs."""

    def __init__(self, required: mcp_types.ClientCapabilities) -> None:
        self.required = required.model_dump(mode="json", by_alias=True, exclude_none=True)
        super().__init__(f"The client did not declare the capability {', '.join(self.required)}")


class InputRequired(Exception):
    """The round ends here: the client is to send the request again, with answers to `requests`."""

    def __init__(self, requests: Mapping[str, mcp_types.InputRequest]) -> None:
        super().__init__(", ".join(requests))
        self.requests = dict(requests)


class Channel(Protocol):
    """The way to the client while its request runs."""

    @property
    def cancelled(self) -> bool:
        """Whether the work is for nobody any more."""
        ...

    def notify(self, notification: mcp_types.Notification[Any, Any]) -> None:
        """Send a notification ahead of the result, if there is a way to."""
        ...


class _Nowhere:
    """For requests whose answer is one JSON object and nothing before it."""

    cancelled = False

    def notify(self, notification: mcp_types.Notification[Any, Any]) -> None:
        """Dropped."""


Asker = Callable[[Mapping[str, mcp_types.InputRequest]], Mapping[str, mcp_types.InputResponse]]
"""Puts requests to the client and returns its answers; raises InputRequired, CannotAsk or Cancelled."""


class Call:
    """A running request. Its methods may be used from the one thread that works on it."""

    def __init__(
        self,
        headers: Mapping[str, str],
        *,
        client_name: str | None = None,
        capabilities: mcp_types.ClientCapabilities | None = None,
        channel: Channel | None = None,
        progress_token: str | int | None = None,
        log_level: str | None = None,
        asker: Asker | None = None,
    ) -> None:
        self.headers = headers
        """HTTP headers, names in lower case."""
        self.client_name = client_name
        """``clientInfo.name`` where it is known: for statistics and logs, never for decisions."""
        self.capabilities = capabilities or mcp_types.ClientCapabilities()
        """What the client declared; nothing when it is unknown."""
        self._channel: Channel = channel or _Nowhere()
        self._progress_token = progress_token
        self._progress = float("-inf")
        self._log_level = log_level
        self._asker = asker

    def check(self) -> None:
        """Raise `Cancelled` when the client has gone. Long work calls this, or `progress`, now and then."""
        if self._channel.cancelled:
            raise Cancelled

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell how far the work is, to a client that wants to know (MCP "Progress"); values must rise.

        Raises:
            Cancelled: the client has gone.
        """
        self.check()
        if self._progress_token is None or done <= self._progress:
            return
        self._progress = done
        params = mcp_types.ProgressNotificationParams(
            progress_token=self._progress_token, progress=done, total=total, message=message
        )
        self._channel.notify(mcp_types.ProgressNotification(params=params))

    def log(self, level: mcp_types.LoggingLevel, data: Any, logger: str | None = None) -> None:
        """Send a log message (any JSON) to a client that asked for this level or a lower one (MCP "Logging").

        Raises:
            Cancelled: the client has gone.
        """
        self.check()
        if self._log_level is None or LOG_LEVELS.index(level) < LOG_LEVELS.index(self._log_level):
            return
        params = mcp_types.LoggingMessageNotificationParams(level=level, data=data, logger=logger)
        self._channel.notify(mcp_types.LoggingMessageNotification(params=params))

    def require(self, **needed: dict[str, Any]) -> None:
        """Insist on capabilities of the client, as in ``call.require(sampling={})``.

        Raises:
            MissingCapability: it did not declare one of them.
        """
        required = mcp_types.ClientCapabilities.model_validate(needed)
        if not _includes(_wire(self.capabilities), _wire(required)):
            raise MissingCapability(required)

    def can_ask(self, method: str) -> bool:
        """Whether a request of this kind can be put to the client: it declared so, and there is a way."""
        return self._asker is not None and self.declared(method)

    def declared(self, method: str) -> bool:
        """Whether the client declared that it answers requests of this kind."""
        try:
            self.require(**_NEEDED[method])
        except MissingCapability:
            return False
        return True

    def ask(self, key: str, request: mcp_types.InputRequest) -> mcp_types.InputResponse:
        """Put one request to the client; see `ask_all`."""
        return self.ask_all({key: request})[key]

    def ask_all(
        self, requests: Mapping[str, mcp_types.InputRequest]
    ) -> Mapping[str, mcp_types.InputResponse]:
        """Put requests to the client and return its answers under the same keys.

        A legacy client is asked while the request waits. A modern one is told to send the request again with
        the answers; the code that called then runs again from its start and finds them here, so it must not
        change anything before its last question.

        Raises:
            MissingCapability: the client did not declare that it answers such requests.
            CannotAsk: there is no way to ask it, or it refused.
            InputRequired: the round ends here; let it pass.
            Cancelled: the client has gone.
        """
        self.check()
        for request in requests.values():
            self.require(**_needed(request))
        if self._asker is None:
            raise CannotAsk("The client cannot be asked: it must accept text/event-stream")
        return self._asker(requests)


_NEEDED: Final[Mapping[str, dict[str, dict[str, Any]]]] = {
    "elicitation/create": {"elicitation": {"form": {}}},
    "sampling/createMessage": {"sampling": {}},
    "roots/list": {"roots": {}},
}


def _needed(request: mcp_types.InputRequest) -> dict[str, dict[str, Any]]:
    if isinstance(request.params, mcp_types.ElicitRequestURLParams):
        return {"elicitation": {"url": {}}}
    if isinstance(request.params, mcp_types.CreateMessageRequestParams) and request.params.tools:
        return {"sampling": {"tools": {}}}
    return _NEEDED[request.method]


def _wire(capabilities: mcp_types.ClientCapabilities) -> dict[str, Any]:
    declared: dict[str, Any] = capabilities.model_dump(mode="json", by_alias=True, exclude_none=True)
    if declared.get("elicitation") == {}:  # from before there were modes
        declared["elicitation"] = {"form": {}}
    return declared


def _includes(declared: Mapping[str, Any], needed: Mapping[str, Any]) -> bool:
    return all(
        isinstance(declared.get(name), dict) and _includes(declared[name], inner)
        for name, inner in needed.items()
        if isinstance(inner, dict)
    )


def read_answer(request: mcp_types.InputRequest, answer: Any) -> mcp_types.InputResponse | None:
    """A client's answer to a request, or None when it is not one: wrong shape, or a form that does not fit."""
    try:
        read = _ANSWERS[request.method].model_validate(answer, by_name=False)
    except ValidationError:
        return None
    if isinstance(read, mcp_types.ElicitResult) and read.action == "accept":
        params = request.params
        form = params.requested_schema if isinstance(params, mcp_types.ElicitRequestFormParams) else {}
        if not _fits(form, read.content or {}):
            return None
    return read  # type: ignore[return-value]  # one of the three models above


def _fits(form: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    """Whether an accepted form has what was required, in the types that were asked for (forms are flat)."""
    fields: Mapping[str, Any] = form.get("properties", {})
    return all(content.get(name) is not None for name in form.get("required", ())) and all(
        _field_fits(fields[name], value)
        for name, value in content.items()
        if name in fields and value is not None
    )


def _field_fits(field: Mapping[str, Any], value: Any) -> bool:
    kind = _FORM_TYPES.get(field.get("type", ""), object)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
        return False
    options = field.get("enum") or [option.get("const") for option in field.get("oneOf", ())]
    return not options or value in options
