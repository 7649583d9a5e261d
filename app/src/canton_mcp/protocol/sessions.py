"""Sessions of the handshake era (MCP "Transports", Session Management), and what a server asks its client in one.

A session id is a sealed text that says what the client declared, so every server of a fleet can read it and
none has to remember it. What one server does remember is a convenience and belongs to it alone: questions
that wait for an answer, the log level, requests that can be cancelled. A balancer that sends a session
always to the same server makes these work.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

import mcp_types
from pydantic import ValidationError

from canton_mcp.protocol import jsonrpc
from canton_mcp.protocol.call import Asker, Call, Cancelled, CannotAsk, read_answer
from canton_mcp.protocol.jsonrpc import INVALID_PARAMS, Peer, RequestId, RpcError
from canton_mcp.protocol.seals import BrokenSeal, Seals
from canton_mcp.protocol.streams import Way

__all__ = ["SESSION_HEADER", "Session", "Sessions"]

T = TypeVar("T")

SESSION_HEADER: Final = "mcp-session-id"
LIFETIME_SEC: Final = 7 * 24 * 3600
ANSWER_TIMEOUT_SEC: Final = 300.0
"""How long a question waits; people answer some of them."""

_MAX_REMEMBERED: Final = 10_000
_MAX_SUBSCRIPTIONS: Final = 100
_MAX_NAME: Final = 64
_PURPOSE: Final = "session"
_STOPPING: Final = "The client cannot be asked: this server is being restarted. Call again"


@dataclass(frozen=True)
class Session:
    """What a client said in its handshake."""

    id: str
    version: str
    client_name: str | None
    capabilities: mcp_types.ClientCapabilities

    def answers(self, methods: Iterable[str]) -> bool:
        """Whether the client declared that it answers one of these requests."""
        call = Call({}, capabilities=self.capabilities)
        return any(call.declared(method) for method in methods)


class Remembered(OrderedDict[str, T]):
    """Something about the sessions that were changed last; a default for all the others."""

    def __init__(self, default: T) -> None:
        super().__init__()
        self._default = default

    def __missing__(self, session_id: str) -> T:
        return self._default

    def __setitem__(self, session_id: str, value: T) -> None:
        super().__setitem__(session_id, value)
        self.move_to_end(session_id)
        if len(self) > _MAX_REMEMBERED:
            self.popitem(last=False)


@dataclass
class _Question:
    """A request to the client that waits for its answer."""

    session_id: str
    way: Way
    answer: Mapping[str, Any] | None = None
    given_up: bool = False
    """The server stops before the answer can come."""


@dataclass
class Sessions:
    """The sessions of a fleet, and what this server remembers of its own part in them."""

    seals: Seals
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _closed: bool = False
    _questions: dict[str, _Question] = field(default_factory=dict)
    _running: dict[tuple[str, RequestId], Way] = field(default_factory=dict)
    _levels: Remembered[str] = field(default_factory=lambda: Remembered("info"))
    _subscribed: Remembered[frozenset[str]] = field(default_factory=lambda: Remembered(frozenset()))

    def open(
        self, version: str, client_name: str | None, capabilities: mcp_types.ClientCapabilities
    ) -> Session:
        """A new session, after its handshake."""
        kept = mcp_types.ClientCapabilities(
            sampling=capabilities.sampling, elicitation=capabilities.elicitation, roots=capabilities.roots
        )
        name = client_name and client_name[:_MAX_NAME]
        claims = {
            "v": version,
            "n": name,
            "c": kept.model_dump(mode="json", by_alias=True, exclude_none=True),
            "j": secrets.token_urlsafe(9),
        }
        return Session(self.seals.seal(_PURPOSE, claims, LIFETIME_SEC), version, name, kept)

    def find(self, identifier: str) -> Session | None:
        """The session with this id, whichever server opened it; None for a forged or expired id."""
        try:
            claims = self.seals.open(_PURPOSE, identifier)
            capabilities = mcp_types.ClientCapabilities.model_validate(claims["c"])
            return Session(identifier, claims["v"], claims["n"], capabilities)
        except (BrokenSeal, ValidationError, KeyError, TypeError):  # another release may claim other things
            return None

    def set_level(self, session: Session, level: str) -> None:
        """Remember from which level on this session wants log messages."""
        with self._lock:
            self._levels[session.id] = level

    def level(self, session: Session) -> str:
        """From which level on this session wants log messages."""
        with self._lock:
            return self._levels[session.id]

    def subscribe(self, session: Session, uri: str, *, wanted: bool = True) -> None:
        """Remember whether this session wants to hear of changes of a resource.

        Raises:
            RpcError: it wants to hear of too many (-32602).
        """
        with self._lock:
            others = self._subscribed[session.id] - {uri}
            if wanted and len(others) >= _MAX_SUBSCRIPTIONS:
                raise RpcError(
                    INVALID_PARAMS, f"A session subscribes to at most {_MAX_SUBSCRIPTIONS} resources"
                )
            self._subscribed[session.id] = others | {uri} if wanted else others

    def subscribed(self, session: Session) -> frozenset[str]:
        """The resources whose changes this session wants to hear of."""
        with self._lock:
            return self._subscribed[session.id]

    def started(self, session: Session, request: RequestId, way: Way) -> None:
        """Remember a request that can be cancelled."""
        with self._lock:
            self._running[session.id, request] = way

    def ended(self, session: Session, request: RequestId) -> None:
        """Forget it."""
        with self._lock:
            self._running.pop((session.id, request), None)

    def cancel(self, session: Session, request: Any) -> None:
        """Cancel a request of this session, if it runs here (MCP "Cancellation")."""
        if isinstance(request, bool) or not isinstance(request, int | str):
            return
        if (way := self._running.get((session.id, request))) is not None:
            way.cancel()

    def asker(self, session: Session, way: Way) -> Asker:
        """Puts requests to the client on the stream of a running request, and waits for what it posts back."""

        def ask(
            requests: Mapping[str, mcp_types.InputRequest],
        ) -> Mapping[str, mcp_types.InputResponse]:
            return {key: self._ask(session, way, request) for key, request in requests.items()}

        return ask

    def _ask(self, session: Session, way: Way, request: mcp_types.InputRequest) -> mcp_types.InputResponse:
        identifier = secrets.token_urlsafe(12)
        question = _Question(session.id, way)
        with self._lock:
            if self._closed:
                raise CannotAsk(_STOPPING)
            self._questions[identifier] = question
        try:
            way.send(jsonrpc.request_body(identifier, request))
            way.wait(
                lambda: question.answer is not None or question.given_up or not way.is_open,
                ANSWER_TIMEOUT_SEC,
            )
        finally:
            with self._lock:
                del self._questions[identifier]
        if way.cancelled:
            raise Cancelled
        if question.answer is None and question.given_up:
            raise CannotAsk(_STOPPING)
        if question.answer is None:
            raise CannotAsk(
                f"The client did not answer {request.method} within {ANSWER_TIMEOUT_SEC:.0f} s"
                if way.is_open
                else "The client cannot be asked: all streams of this server are in use, or it has hung up"
            )
        if "result" not in question.answer:
            raise CannotAsk(f"The client refused to answer {request.method}")
        read = read_answer(request, question.answer["result"])
        if read is None:
            raise CannotAsk(f"The client's answer to {request.method} does not fit")
        return read

    def close(self) -> None:
        """Give up all questions, so that the work behind them goes on without answers."""
        with self._lock:
            self._closed = True
            waiting = list(self._questions.values())
        for question in waiting:
            question.given_up = True
            question.way.wake()

    def deliver(self, session: Session, answer: Peer) -> bool:
        """Hand a posted answer to the question that waits for it; False when none of this session does."""
        identifier = answer.body.get("id")
        with self._lock:
            question = self._questions.get(identifier) if isinstance(identifier, str) else None
        if question is None or question.session_id != session.id:
            return False
        question.answer = answer.body
        question.way.wake()
        return True
