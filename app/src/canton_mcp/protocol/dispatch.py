"""From one HTTP exchange to one answer: transport rules, then the era's envelope, then the method."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types
from pydantic import ValidationError

from canton_mcp.protocol import jsonrpc, listening, streams
from canton_mcp.protocol.call import Call, Cancelled
from canton_mcp.protocol.eras import (
    BATCH_VERSION,
    VERSION_HEADER,
    Era,
    Legacy,
    Modern,
    choose_era,
    header_era,
)
from canton_mcp.protocol.features import Features
from canton_mcp.protocol.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    Message,
    Peer,
    RequestId,
    RpcError,
)
from canton_mcp.protocol.methods import Exchange, Methods
from canton_mcp.protocol.problems import explain
from canton_mcp.protocol.rounds import Rounds
from canton_mcp.protocol.seals import Seals
from canton_mcp.protocol.sessions import SESSION_HEADER, Session, Sessions
from canton_mcp.protocol.streams import EventStream, Slots, Way

__all__ = ["Dispatcher", "Reply"]

log = logging.getLogger(__name__)

MAX_BATCH: Final = 100
"""A batch runs on one thread, so its length is bounded."""

PATIENCE_SEC: Final = 5.0
"""A result that takes longer comes as a stream: only so is it noticed that the client has gone."""

LISTEN_LIFETIME_SEC: Final = 3600.0
"""After that a client opens its stream of changes anew, perhaps on a server with less to do."""

_JSON: Final = {"Content-Type": "application/json"}
_EVENT_STREAM: Final = "text/event-stream"
_WORK: Final = frozenset({"tools/call", "prompts/get", "resources/read"})
"""Methods that may take long, speak while they work, and ask."""

_INTERNAL: Final = RpcError(INTERNAL_ERROR, "Internal error")
_CANCELLED: Final = RpcError(-32800, "Request cancelled")


@dataclass(frozen=True)
class Reply:
    """The parts of an HTTP answer; with neither `body` nor `events` it is empty, as the protocol wants it."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    events: Iterable[bytes] | None = None
    """The body of a stream. Whoever sends it calls its `close` when it is over, however it ends."""


class _Refused(RpcError):
    """An error whose HTTP status does not follow from its code."""

    def __init__(self, error: RpcError, status: int, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(error.code, error.message, error.data)
        self.status = status
        self.headers = dict(headers or {})


@dataclass(frozen=True)
class _Http:
    """What an HTTP request brought beside its body."""

    headers: Mapping[str, str]
    connection: int | None
    """Descriptor of the client's socket."""


@dataclass(frozen=True)
class _Request:
    """One message with all that decides how it is served."""

    message: Message
    era: Era
    session: Session | None
    http: _Http

    @property
    def id(self) -> RequestId:
        assert self.message.id is not None
        return self.message.id


class Dispatcher:
    """Serves both eras of MCP. Any server of a fleet with the same seals can answer any request."""

    def __init__(
        self,
        server_info: mcp_types.Implementation,
        features: Features,
        *,
        seals: Seals | None = None,
        instructions: str | None = None,
        max_streams: int = 8,
        threads: int = 16,
    ) -> None:
        """`threads` is how many requests the HTTP server answers at a time; streams take `max_streams` of them.

        Without `seals`, what this server seals is of no use to any other, nor to itself after a restart.
        """
        self._features = features
        self._sessions = Sessions(seals or Seals([secrets.token_hex(32)]))
        self._methods = Methods(features, server_info, instructions, self._sessions)
        self._listeners = listening.Listeners()
        self._slots = Slots(max_streams)
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="mcp-work")
        self._room = threading.Semaphore(threads)  # who finds none waits, rather than its work in a queue
        self._closing = threading.Event()

    @property
    def open_streams(self) -> int:
        """Streams that are open now."""
        return self._slots.open

    def publish(self, kind: listening.Kind, uri: str | None = None) -> None:
        """Tell all streams of this server that a list has changed, or the resource at `uri`."""
        self._methods.forget_lists()
        self._listeners.tell(listening.Change(kind, uri))

    def close(self) -> None:
        """End all streams of changes and give up all questions to clients; running requests get their answers."""
        self._closing.set()
        self._listeners.end()
        self._sessions.close()

    def handle(
        self, method: str, headers: Mapping[str, str], body: bytes, connection: int | None = None
    ) -> Reply:
        """Answer one HTTP request on the MCP endpoint.

        `method` is the HTTP method, `headers` have lower-case names, `body` is as received. `connection`
        is the descriptor of the client's socket, if there is one: streams watch it. Never raises.
        The Origin header is the caller's business, since only it knows which origins are allowed.
        """
        http = _Http(headers, connection)
        try:
            if method == "GET" and self._features.subscribable:
                return self._session_stream(http)
            if method != "POST":
                return Reply(405, {"Allow": "GET, POST" if self._features.subscribable else "POST"})
            _check_transport(headers, body)
            value = jsonrpc.parse(body)
            return self._batch(value, http) if isinstance(value, list) else self._single(value, http)
        except RpcError as error:
            return _error_reply(None, error, 400)
        except Exception:  # a defect of ours: the client gets an answer, the log the details
            log.exception("Unexpected failure while answering a request")
            return _error_reply(None, _INTERNAL, 500)

    # What was sent

    def _single(self, value: Any, http: _Http) -> Reply:
        message = jsonrpc.read_message(value)
        if isinstance(message, Peer):
            return self._answer_from_client(message, http)
        era: Era = Legacy(BATCH_VERSION)  # for errors that come before it is known
        try:
            era = choose_era(message, http.headers)
            session = None
            if isinstance(era, Legacy) and message.method != "initialize":
                session = self._session(http)
                era = _legacy_era(session, http)
            request = _Request(message, era, session, http)
            return self._notification(request) if message.is_notification else self._request(request)
        except RpcError as error:
            return _error_reply(message.id, error, era.status(error.code))

    def _session(self, http: _Http) -> Session | None:
        """The session that a request names, if it names one.

        Raises:
            RpcError: no server of this fleet has opened it, or it is too old (HTTP 404).
        """
        if SESSION_HEADER not in http.headers:
            return None
        session = self._sessions.find(http.headers[SESSION_HEADER])
        if session is None:
            raise _Refused(RpcError(INVALID_REQUEST, "Unknown or expired session; initialize again"), 404)
        return session

    def _answer_from_client(self, answer: Peer, http: _Http) -> Reply:
        if isinstance(header_era(http.headers), Modern):
            raise RpcError(INVALID_REQUEST, "A response was sent, but no request is open")
        session = self._session(http)
        if session is None:
            raise RpcError(INVALID_REQUEST, "A response was sent outside a session, so it answers nothing")
        if not self._sessions.deliver(session, answer):
            raise RpcError(INVALID_REQUEST, "No request with this id waits for an answer on this server")
        return Reply(202)

    def _notification(self, sent: _Request) -> Reply:
        message, era, session = sent.message, sent.era, sent.session
        if isinstance(era, Modern):  # where closing the stream cancels, and nothing else
            era.check_notification(sent.http.headers)
        elif session is not None and message.method == "notifications/cancelled":
            params = message.params if isinstance(message.params, dict) else {}
            self._sessions.cancel(session, params.get("requestId"))
        return Reply(202)

    def _batch(self, values: list[Any], http: _Http) -> Reply:
        """A JSON-RPC batch, which 2025-03-26 alone knows."""
        modern = isinstance(header_era(http.headers), Modern)  # where sessions mean nothing
        session = None if modern else self._session(http)
        if modern or _legacy_era(session, http) != Legacy(BATCH_VERSION):
            raise RpcError(INVALID_REQUEST, "Batches exist only in protocol version 2025-03-26")
        if not 0 < len(values) <= MAX_BATCH:
            raise RpcError(INVALID_REQUEST, f"A batch holds 1 to {MAX_BATCH} messages")
        answers = [
            answer for value in values if (answer := self._batch_item(value, session, http)) is not None
        ]
        return Reply(200, _JSON, jsonrpc.batch_body(answers)) if answers else Reply(202)

    def _batch_item(self, value: Any, session: Session | None, http: _Http) -> bytes | None:
        identifier: RequestId | None = None
        try:
            message = jsonrpc.read_message(value)
            if isinstance(message, Peer):
                if session is not None:
                    self._sessions.deliver(session, message)
                return None
            identifier = message.id
            if isinstance(choose_era(message, http.headers), Modern) or message.method == "initialize":
                raise RpcError(INVALID_REQUEST, "This request cannot be part of a batch")
            request = _Request(message, Legacy(BATCH_VERSION), session, http)
            if message.is_notification:
                self._notification(request)
                return None
            return self._answer(request, self._exchange(request, None)).body
        except RpcError as error:
            return jsonrpc.error_body(identifier, error)

    # Requests

    def _request(self, request: _Request) -> Reply:
        """The answer to a request.

        Raises:
            RpcError: its envelope or its parameters are refused.
        """
        message, era, headers = request.message, request.era, request.http.headers
        if isinstance(era, Modern):
            era.check(message, headers)
            self._methods.check_param_headers(message, headers)
            era.check_values(message)
            if message.method == "subscriptions/listen":
                return self._listen(request)
        if message.method in _WORK and _accepts(headers, _EVENT_STREAM):
            return self._worked_answer(request)
        return self._answer(request, self._exchange(request, None))

    def _exchange(self, request: _Request, way: Way | None) -> Exchange:
        """A request as its handler sees it; `way` leads to a client that accepts a stream."""
        message, era, session, headers = request.message, request.era, request.session, request.http.headers
        if isinstance(era, Modern):
            rounds = Rounds(self._sessions.seals, message) if message.method in _WORK else None
            call = Call(
                headers,
                client_name=era.client_name(message),
                capabilities=era.capabilities(message),
                channel=way,
                progress_token=_progress_token(message),
                log_level=era.log_level(message),
                asker=rounds,
            )
            return Exchange(message, era, call, rounds=rounds)
        call = Call(
            headers,
            client_name=session.client_name if session else None,
            capabilities=session.capabilities if session else None,
            channel=way,
            progress_token=_progress_token(message),
            log_level=self._sessions.level(session) if session else None,
            asker=self._sessions.asker(session, way) if session and way else None,
        )
        return Exchange(message, era, call, session)

    def _answer(self, request: _Request, exchange: Exchange) -> Reply:
        """Run the method of a request whose envelope is in order."""
        era = request.era
        handlers = self._methods.modern if isinstance(era, Modern) else self._methods.legacy
        try:
            handler = handlers.get(request.message.method)
            if handler is None:
                raise RpcError(METHOD_NOT_FOUND, "Method not found")
            result = handler(exchange)
        except RpcError as error:
            return _error_reply(request.id, error, era.status(error.code))
        except Cancelled:
            return _error_reply(request.id, _CANCELLED, era.status(_CANCELLED.code))
        except Exception:
            log.exception("Unexpected failure in %s", request.message.method)
            return _error_reply(request.id, _INTERNAL, era.status(_INTERNAL.code))
        return Reply(200, {**_JSON, **exchange.reply_headers}, jsonrpc.result_body(request.id, result))

    def _worked_answer(self, request: _Request) -> Reply:
        """Run the method on a thread of its own: its answer is one JSON object unless it speaks before the end."""
        session = request.session
        way = Way()
        exchange = self._exchange(request, way)
        reply = _error_reply(request.id, _INTERNAL, request.era.status(_INTERNAL.code))

        def work() -> None:
            nonlocal reply
            try:
                reply = self._answer(request, exchange)
            except BaseException:  # work that tries to end its thread ends itself; nobody waits for ever
                log.exception("Unexpected end of %s", request.message.method)
            finally:
                self._room.release()
                if session is not None:
                    self._sessions.ended(session, request.id)
                way.finish(None if way.cancelled else reply.body)

        if session is not None:
            self._sessions.started(session, request.id, way)
        self._room.acquire()
        self._workers.submit(work)
        if way.settled(PATIENCE_SEC):
            return reply
        if not self._slots.take():  # without a stream the client hears nothing before the result
            way.cut()
            way.result()
            return reply

        def closed() -> None:
            self._slots.give_back()
            if isinstance(request.era, Modern):
                way.cancel()
            else:  # a lost connection cancels nothing, but questions have nobody to answer them
                way.cut()

        return _streamed(lambda: EventStream(way, request.http.connection, closed), closed)

    # Streams of changes

    def _listen(self, request: _Request) -> Reply:
        features = self._features
        if not (features.list_changes or features.subscribable):
            raise RpcError(METHOD_NOT_FOUND, "Method not found: this server has nothing that changes")
        try:
            params = mcp_types.SubscriptionsListenRequestParams.model_validate(
                request.message.arguments, by_name=False
            )
        except ValidationError as error:
            raise RpcError(INVALID_PARAMS, f"subscriptions/listen: {explain(error)}") from None
        subscribed = listening.honoured(params.notifications, features)
        last = self._methods.last_of_stream(request.id)
        return self._open(listening.modern_listener(Way(), request.id, subscribed, last), request.http)

    def _session_stream(self, http: _Http) -> Reply:
        """The GET request of the handshake era, for what is subscribed there. It needs a session."""
        if isinstance(header_era(http.headers), Modern):
            return Reply(405, {"Allow": "POST"})
        session = self._session(http)
        if session is None:
            raise RpcError(INVALID_REQUEST, "Mcp-Session-Id is missing; only sessions have a stream")
        return self._open(listening.session_listener(Way(), lambda: self._sessions.subscribed(session)), http)

    def _open(self, listener: listening.Listener, http: _Http) -> Reply:
        """A stream of changes.

        Raises:
            RpcError: the client does not accept one (HTTP 406), or there are too many (503).
        """
        if not _accepts(http.headers, _EVENT_STREAM):
            raise _Refused(RpcError(INVALID_REQUEST, f"Accept must allow {_EVENT_STREAM}"), 406)
        if self._closing.is_set() or not self._slots.take(to_listen=True):
            busy = f"All {self._slots.for_listeners} streams for listeners of this server are in use; try again later"
            raise _Refused(RpcError(INTERNAL_ERROR, busy), 503, {"Retry-After": "5"})

        def closed() -> None:
            self._slots.give_back()
            self._listeners.remove(listener)

        self._listeners.add(listener)
        if self._closing.is_set():  # set since it was asked: nobody else would end this stream
            listener.end()
        lifetime, expire = LISTEN_LIFETIME_SEC, listener.end
        return _streamed(
            lambda: EventStream(listener.way, http.connection, closed, lifetime=lifetime, expire=expire),
            closed,
        )


def _streamed(opened: Callable[[], EventStream], closed: Callable[[], None]) -> Reply:
    """An answer in the form of a stream; one that cannot be opened, for want of descriptors, is closed."""
    try:
        return Reply(200, streams.HEADERS, events=opened())
    except BaseException:
        closed()
        raise


def _legacy_era(session: Session | None, http: _Http) -> Legacy:
    """The version that the header names, else the one agreed in the session, else the oldest.

    Raises:
        RpcError: the header names a version that is not served.
    """
    if session is not None and VERSION_HEADER not in http.headers:
        return Legacy(session.version)
    era = header_era(http.headers)
    assert isinstance(era, Legacy)
    return era


def _progress_token(message: Message) -> str | int | None:
    meta = message.meta if isinstance(message.meta, dict) else {}
    token = meta.get("progressToken")
    return token if isinstance(token, int | str) and not isinstance(token, bool) else None


def _check_transport(headers: Mapping[str, str], body: bytes) -> None:
    """Refuse a POST that cannot carry a message."""
    if len(body) > jsonrpc.MAX_BODY_BYTES:
        raise _Refused(RpcError(INVALID_REQUEST, "The body is larger than 4 MiB"), 413)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise _Refused(RpcError(INVALID_REQUEST, "Content-Type must be application/json"), 415)
    if not _accepts(headers, "application/json"):
        raise _Refused(RpcError(INVALID_REQUEST, "Accept must allow application/json"), 406)


def _accepts(headers: Mapping[str, str], media_type: str) -> bool:
    """Whether the Accept header allows a media type. Without one JSON is taken for granted, a stream is not."""
    accept = headers.get("accept", "").strip()
    if not accept:
        return media_type == "application/json"
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return not ranges.isdisjoint({media_type, f"{media_type.partition('/')[0]}/*", "*/*"})


def _error_reply(identifier: RequestId | None, error: RpcError, status: int) -> Reply:
    """`error` as an answer; `status` unless the error knows better."""
    headers = _JSON
    if isinstance(error, _Refused):
        status, headers = error.status, {**_JSON, **error.headers}
    return Reply(status, headers, jsonrpc.error_body(identifier, error))
