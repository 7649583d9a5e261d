"""Streams of changes: ``subscriptions/listen`` of the modern era, and the GET stream of the handshake era.

(MCP 2026-07-28 "Subscriptions"; MCP 2025-11-25 "Transports", Listening for Messages from the Server.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import mcp_types

from canton_mcp.protocol import jsonrpc
from canton_mcp.protocol.features import Features
from canton_mcp.protocol.jsonrpc import RequestId
from canton_mcp.protocol.streams import Way

__all__ = [
    "SUBSCRIPTION_ID_META_KEY",
    "Change",
    "Kind",
    "Listener",
    "Listeners",
    "honoured",
    "modern_listener",
    "session_listener",
]

SUBSCRIPTION_ID_META_KEY: Final = "io.modelcontextprotocol/subscriptionId"

Kind = Literal["tools", "prompts", "resources", "resource"]


@dataclass(frozen=True)
class Change:
    """A list has changed, or the resource at `uri`."""

    kind: Kind
    uri: str | None = None

    def notification(self, meta: Mapping[str, Any] | None) -> bytes:
        """The encoded notification that tells of it."""
        stamp = {"_meta": dict(meta)} if meta else {}
        if self.kind == "resource":
            updated = mcp_types.ResourceUpdatedNotificationParams.model_validate({"uri": self.uri, **stamp})
            return jsonrpc.notification_body(mcp_types.ResourceUpdatedNotification(params=updated))
        params = mcp_types.NotificationParams.model_validate(stamp) if stamp else None
        return jsonrpc.notification_body(_LIST_CHANGES[self.kind](params=params))


_LIST_CHANGES: Final[Mapping[str, Callable[..., mcp_types.Notification[Any, Any]]]] = {
    "tools": mcp_types.ToolListChangedNotification,
    "prompts": mcp_types.PromptListChangedNotification,
    "resources": mcp_types.ResourceListChangedNotification,
}


@dataclass(frozen=True, eq=False)
class Listener:
    """One open stream of changes."""

    way: Way
    wants: Callable[[Change], bool]
    meta: Mapping[str, Any] | None = None
    """Goes on every notification."""
    last: bytes | None = None
    """The encoded message that ends the stream, if its era has one."""

    def tell(self, change: Change) -> None:
        """Send a change that this stream wants; one that waits already is not repeated."""
        if self.wants(change):
            self.way.send(change.notification(self.meta), key=change)

    def end(self) -> None:
        """End the stream from this side; the client may open another."""
        self.way.finish(self.last)


@dataclass
class Listeners:
    """All open streams of changes of this server."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[Listener] = field(default_factory=set)

    def add(self, listener: Listener) -> None:
        """From now on this stream is told."""
        with self._lock:
            self._open.add(listener)

    def remove(self, listener: Listener) -> None:
        """The stream is over."""
        with self._lock:
            self._open.discard(listener)

    def tell(self, change: Change) -> None:
        """Tell every stream that wants to know."""
        for listener in self._all():
            listener.tell(change)

    def end(self) -> None:
        """End all streams."""
        for listener in self._all():
            listener.end()

    def _all(self) -> list[Listener]:
        with self._lock:
            return list(self._open)


def honoured(wanted: mcp_types.SubscriptionFilter, features: Features) -> mcp_types.SubscriptionFilter:
    """The part of what a client wants to hear that this server tells."""

    def kept(flag: bool | None, offered: object) -> bool | None:
        return True if flag and offered and features.list_changes else None

    watches = wanted.resource_subscriptions and features.resources and features.subscribable
    return mcp_types.SubscriptionFilter(
        tools_list_changed=kept(wanted.tools_list_changed, features.tools),
        prompts_list_changed=kept(wanted.prompts_list_changed, features.prompts),
        resources_list_changed=kept(wanted.resources_list_changed, features.resources),
        resource_subscriptions=wanted.resource_subscriptions if watches else None,
    )


def modern_listener(
    way: Way, identifier: RequestId, subscribed: mcp_types.SubscriptionFilter, last: bytes
) -> Listener:
    """A stream for one ``subscriptions/listen`` request. Its first message says what is subscribed."""
    meta = {SUBSCRIPTION_ID_META_KEY: identifier}
    flags = {
        "tools": subscribed.tools_list_changed,
        "prompts": subscribed.prompts_list_changed,
        "resources": subscribed.resources_list_changed,
    }
    uris = frozenset(subscribed.resource_subscriptions or ())
    params = mcp_types.SubscriptionsAcknowledgedNotificationParams.model_validate(
        {"_meta": meta, "notifications": subscribed}
    )
    way.send(jsonrpc.notification_body(mcp_types.SubscriptionsAcknowledgedNotification(params=params)))
    return Listener(
        way,
        lambda change: change.uri in uris if change.kind == "resource" else bool(flags[change.kind]),
        meta,
        last,
    )


def session_listener(way: Way, subscribed: Callable[[], frozenset[str]]) -> Listener:
    """A stream for the GET request of a session: changes of the resources that it has subscribed to."""
    return Listener(way, lambda change: change.kind == "resource" and change.uri in subscribed())
