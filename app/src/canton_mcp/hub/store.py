"""The history on disk: minutes, hours and days of each tool in one SQLite file, written by a thread of its own.

The running minute is written again and again as a whole, so what is committed is right at every moment, and a hub
that was killed goes on where it stopped. Once a minute is over it is added to its hour and its day, in the same
transaction. Nothing here may stop the hub: without a usable file it goes on without history and says so.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from canton_mcp.hub import histogram
from canton_mcp.hub.collector import MAX_SIDS, Collector
from canton_mcp.hub.settings import HubSettings
from canton_mcp.hub.statistics import SLOT_SECONDS, WINDOWS, Cell, Series, Tally, Window

__all__ = ["FILE_NAME", "Store"]

_log = logging.getLogger(__name__)

FILE_NAME: Final = "history.sqlite3"
_APPLICATION_ID: Final = 0x44434150
_SCHEMA: Final = 1
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_HOURS_KEPT_SEC: Final = 8 * _DAY
_MINUTES_KEPT_SEC: Final = 3 * _HOUR
_MAX_BYTES: Final = 512 * 1024 * 1024
_MAX_PENDING: Final = 20_000
"""Minutes of a tool or server, of at most 3.5 kB; a day's worth for a dozen of them."""
_MAX_KNOWN: Final = 4000
_PRUNE_SEC: Final = 600.0
_SHORT_BREAK_SEC: Final = 30.0
"""A hub that was away for no longer counts as one that listened all the time."""
_BUSY_SEC: Final = 5.0
_ALL: Final = ""
"""In the place of a sid or a tool: all of them together."""

_TABLES: Final = """
CREATE TABLE calls (
    step INTEGER NOT NULL, tool TEXT NOT NULL, sid TEXT NOT NULL, start INTEGER NOT NULL,
    calls INTEGER NOT NULL, errors INTEGER NOT NULL, total_ms REAL NOT NULL,
    histogram BLOB NOT NULL, marks TEXT,
    PRIMARY KEY (step, tool, sid, start)
) WITHOUT ROWID;
CREATE TABLE servers (
    sid TEXT PRIMARY KEY, first_seen REAL NOT NULL, last_seen REAL NOT NULL, last_call REAL, interval REAL
) WITHOUT ROWID;
CREATE TABLE discovers (
    sid TEXT NOT NULL, tool TEXT NOT NULL, at REAL NOT NULL, message BLOB NOT NULL,
    PRIMARY KEY (sid, tool)
) WITHOUT ROWID;
CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_MIGRATIONS: Final[dict[int, str]] = {}
"""Statements that lead from a schema to the next one, by the number of the former."""

_WRITE: Final = "INSERT OR REPLACE INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_READ: Final = "SELECT calls, errors, total_ms, histogram, marks FROM calls"


class _Unusable(Exception):
    """The file cannot be used, and is not ours to move; the text says why."""


_Columns = tuple[int, int, float, bytes, str | None]
"""calls, errors, total_ms, histogram, marks, as in the table."""


class _Key(NamedTuple):
    start: int
    sid: str
    tool: str


@dataclass
class _Batch:
    """What changed since the batch before."""

    at: float
    began: float = 0.0
    """Where the statistics begin."""
    listening_since: float = 0.0
    minutes: dict[_Key, Tally | _Columns] = field(default_factory=dict)
    servers: dict[str, tuple[float, float, float | None, float | None]] = field(default_factory=dict)
    discovers: dict[tuple[str, str], tuple[float, bytes]] = field(default_factory=dict)

    def join(self, newer: _Batch) -> None:
        """Adds a newer batch; its state of a minute replaces the older one."""
        self.at, self.began, self.listening_since = newer.at, newer.began, newer.listening_since
        self.minutes.update(newer.minutes)
        self.servers.update(newer.servers)
        self.discovers.update(newer.discovers)
        # A disk that stays full must not fill the memory, too.
        if len(self.minutes) > _MAX_PENDING:
            for key in sorted(self.minutes)[: len(self.minutes) - _MAX_PENDING]:
                del self.minutes[key]
        for known in (self.servers, self.discovers):
            while len(known) > _MAX_KNOWN:
                del known[next(iter(known))]  # type: ignore[arg-type]


class Store:
    """The history of one hub. All methods may be called from the event loop, `history` from a thread."""

    def __init__(self, directory: str, retention_days: int, say: Callable[[str], None]) -> None:
        self.problem: str | None = None
        """Why there is no history, or why it falls behind; None when all is well."""
        self._say = say
        self._path = Path(directory) / FILE_NAME if directory else None
        self._retention = retention_days * _DAY
        self._lock = threading.Lock()
        self._pending = _Batch(0.0)
        self._wake = threading.Event()
        self._end = False
        self._thread: threading.Thread | None = None
        self._usable = False
        self._committed: int | None = None
        self._oldest: int | None = None
        self._prune_at = 0.0

    @classmethod
    def open(cls, settings: HubSettings, say: Callable[[str], None] | None = None) -> Store:
        """The store in the state directory. Never raises: `problem` says what is wrong, and `say` or the log gets a line."""
        store = cls(settings.state_dir, settings.retention_days, say or _log.warning)
        if store._path is None:
            return store
        try:
            store._prepare()
        except sqlite3.DatabaseError as error:
            if _broken(error) and store._set_aside(error):
                try:
                    store._prepare()
                except (sqlite3.Error, OSError, _Unusable) as again:
                    store._complain(again)
            elif not store._usable:
                store._complain(error)
        except (OSError, _Unusable) as error:
            store._complain(error)
        return store

    def restore(self, collector: Collector, now: float) -> None:
        """Reads what was committed into the collector, then starts to write."""
        if self._usable:
            try:
                with contextlib.closing(self._connect()) as database:
                    _restore(database, collector, now)
                    self._look(database)
            except (sqlite3.Error, ValueError) as error:
                broken = not isinstance(error, sqlite3.Error) or _broken(error)
                if broken and self._set_aside(error):
                    with contextlib.suppress(sqlite3.Error, OSError, _Unusable):
                        self._prepare()
                if not self._usable:
                    self._complain(error)
        if self._usable:
            self._thread = threading.Thread(target=self._work, name="dcap-hub-store", daemon=True)
            self._thread.start()
        self._tell(collector)

    def save(self, collector: Collector, now: float) -> None:
        """Hands over what is new; it is committed soon after. Call it every ten seconds or more often."""
        if self._thread is not None:
            batch = _gather(collector, now)
            with self._lock:
                self._pending.join(batch)
            self._wake.set()
        self._tell(collector)

    def close(self, collector: Collector, now: float) -> None:
        """Commits everything and ends the thread."""
        self.save(collector, now)
        if self._thread is not None:
            self._end = True
            self._wake.set()
            self._thread.join(2 * _BUSY_SEC)
            self._thread = None

    def state(self) -> dict[str, Any]:
        """Size of the file, start of its oldest entry, and until when calls are committed; null when unknown."""
        size = None
        if self._usable and self._path is not None:
            with contextlib.suppress(OSError):
                size = sum(
                    path.stat().st_size
                    for path in (self._path, self._path.with_name(f"{FILE_NAME}-wal"))
                    if path.exists()
                )
        return {"bytes": size, "oldest": self._oldest, "committed_until": self._committed}

    def history(
        self,
        hours: float,
        sids: Iterable[str] = (),
        tools: Iterable[str] = (),
        now: float | None = None,
    ) -> dict[str, Any]:
        """Calls over the last `hours` in steps of a minute, an hour or a day, and by server.

        Without sids or tools all are meant. Blocks; milliseconds on a healthy disk.
        """
        until = time.time() if now is None else now
        seconds = max(1.0, min(hours, 24 * 3650)) * _HOUR
        step = _MINUTE if seconds <= _MINUTES_KEPT_SEC else _HOUR if seconds < _HOURS_KEPT_SEC else _DAY
        start = int((until - seconds) // step + 1) * step
        empty: dict[str, Any] = {"start": start, "step_seconds": step, "points": [], "servers": []}
        if not self._usable:
            return empty | {"problem": self.problem or "no history is kept: DCAP_HUB_STATE_DIR is not set"}
        try:
            with contextlib.closing(self._connect()) as database:
                return empty | _history(database, step, start, sorted(set(sids)), sorted(set(tools)))
        except (sqlite3.Error, ValueError) as error:
            return empty | {"problem": self._line(error)}

    def _connect(self) -> sqlite3.Connection:
        assert self._path is not None
        database = sqlite3.connect(self._path, timeout=_BUSY_SEC, isolation_level=None)
        database.execute("PRAGMA synchronous=NORMAL")
        return database

    def _prepare(self) -> None:
        assert self._path is not None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)
        with contextlib.closing(self._connect()) as database:
            (owner,) = database.execute("PRAGMA application_id").fetchone()
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and owner != _APPLICATION_ID:
                raise _Unusable("it belongs to another program; name another DCAP_HUB_STATE_DIR")
            if schema > _SCHEMA:
                raise _Unusable(
                    f"a newer release wrote it (schema {schema}, this one knows {_SCHEMA}); "
                    "upgrade, or move the file away"
                )
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("BEGIN IMMEDIATE")
            if not tables:
                for statement in _TABLES.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            else:
                for number in range(schema, _SCHEMA):
                    for statement in _MIGRATIONS[number].split(";"):
                        database.execute(statement)
            database.execute(f"PRAGMA user_version={_SCHEMA}")
            database.execute("COMMIT")
            self._look(database)
        self._usable = True
        self.problem = None

    def _set_aside(self, error: Exception) -> bool:
        """Renames a file that is no database any more, so that a new one can begin."""
        assert self._path is not None
        self._usable = False
        aside = self._path.with_name(f"{FILE_NAME}.broken-{int(time.time())}")
        try:
            self._path.rename(aside)
            for suffix in ("-wal", "-shm"):
                self._path.with_name(FILE_NAME + suffix).unlink(missing_ok=True)
        except OSError as failure:
            self._complain(failure)
            return False
        self._say(f"{self._path}: {error}. It was moved to {aside.name}; a new history begins.")
        return True

    def _line(self, error: Exception | str) -> str:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"{self._path}: {reason}"

    def _complain(self, error: Exception | str) -> None:
        line = self._line(error)
        if line != self.problem:
            self.problem = line
            remedy = "" if isinstance(error, _Unusable) else " Check the directory, its owner and free space."
            self._say(f"History is not written: {line}.{remedy} The hub goes on.")

    def _tell(self, collector: Collector) -> None:
        collector.store_problem = self.problem
        collector.store_state = self.state()

    def _work(self) -> None:
        database: sqlite3.Connection | None = None
        end = False
        while not end:
            self._wake.wait()
            self._wake.clear()
            end = self._end
            with self._lock:
                batch, self._pending = self._pending, _Batch(self._pending.at)
            try:
                database = database or self._connect()
                self._write(database, batch)
                self.problem = None
            except (sqlite3.Error, OSError, ValueError) as error:
                if database is not None:
                    with contextlib.suppress(sqlite3.Error):
                        database.execute("ROLLBACK")
                    with contextlib.suppress(sqlite3.Error):
                        database.close()
                    database = None
                self._complain(error)
                # What has to wait shall take little room.
                batch.minutes = {key: _columns(minute) for key, minute in batch.minutes.items()}
                with self._lock:
                    batch.join(self._pending)
                    self._pending = batch
        if database is not None:
            with contextlib.suppress(sqlite3.Error):
                database.close()

    def _write(self, database: sqlite3.Connection, batch: _Batch) -> None:
        minute = int(batch.at) // _MINUTE * _MINUTE
        rows = _with_sums(batch.minutes)
        over = [(key, cell) for key, cell in rows.items() if key.start < minute]
        database.execute("BEGIN IMMEDIATE")
        database.executemany(_WRITE, (_row(_MINUTE, key, cell) for key, cell in rows.items()))
        folded = _progress(database, "folded")
        if over:
            _fold(database, ((key, cell) for key, cell in over if key.start > folded))
            _set_progress(database, "folded", max(folded, *(key.start for key, _ in over)))
        database.executemany(
            "INSERT OR REPLACE INTO servers VALUES (?, ?, ?, ?, ?)",
            ((sid, *row) for sid, row in batch.servers.items()),
        )
        database.executemany(
            "INSERT OR REPLACE INTO discovers VALUES (?, ?, ?, ?)",
            ((*key, *row) for key, row in batch.discovers.items()),
        )
        database.execute("INSERT OR IGNORE INTO progress VALUES ('began', ?)", (int(batch.began),))
        _set_progress(database, "written", batch.at)
        _set_progress(database, "listening", batch.listening_since)
        if batch.at >= self._prune_at:
            self._prune(database, batch.at)
        database.execute("COMMIT")
        self._committed = int(batch.at)
        if self._oldest is None and rows:
            self._look(database)

    def _prune(self, database: sqlite3.Connection, now: float) -> None:
        """Deletes what is too old, and more when the file would grow beyond its size."""
        self._prune_at = now + _PRUNE_SEC
        days = self._retention
        for step, kept in (
            (_MINUTE, _MINUTES_KEPT_SEC),
            (_HOUR, min(_HOURS_KEPT_SEC, days)),
            (_DAY, days),
        ):
            database.execute(
                "DELETE FROM calls WHERE step = ? AND start < ?", (step, int(now - kept) // step * step)
            )
        database.execute("DELETE FROM servers WHERE last_seen < ?", (now - days,))
        database.execute("DELETE FROM discovers WHERE at < ?", (now - min(days, _DAY),))
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        (free,) = database.execute("PRAGMA freelist_count").fetchone()
        (page,) = database.execute("PRAGMA page_size").fetchone()
        if (pages - free) * page > _MAX_BYTES:
            for step in (_DAY, _HOUR, _MINUTE):
                database.execute(
                    "DELETE FROM calls WHERE step = ? AND start < "
                    "(SELECT (min(start) + max(start)) / 2 FROM calls WHERE step = ?)",
                    (step, step),
                )
        self._look(database)

    def _look(self, database: sqlite3.Connection) -> None:
        # The sums of all servers and tools are few, and in the order of the key.
        (oldest,) = database.execute(
            "SELECT min(start) FROM calls WHERE tool = '' AND sid = '' AND step IN (?, ?, ?)",
            (_MINUTE, _HOUR, _DAY),
        ).fetchone()
        # The first day did not begin at midnight.
        self._oldest = None if oldest is None else max(oldest, _progress(database, "began"))


def _broken(error: Exception) -> bool:
    """Whether SQLite says that the content is no good, not merely that it cannot get at it."""
    return isinstance(error, sqlite3.DatabaseError) and getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def _gather(collector: Collector, now: float) -> _Batch:
    """What is to be stored now; what is over is taken out of the collector."""
    now = collector.advance(now)
    batch = _Batch(now, collector.since, collector.listening_since)
    minute = int(now) // _MINUTE
    for sid, server in collector.servers.items():
        things = [(_ALL, server.series), *((name, tool.series) for name, tool in server.tools.items())]
        for name, series in things:
            for number, cell in series.finished:
                batch.minutes[_Key(number * _MINUTE, sid, name)] = cell
            series.finished.clear()
            if series.minute_number == minute and (present := series.present_minute()):
                batch.minutes[_Key(minute * _MINUTE, sid, name)] = present
        if server.unsaved and server.last_seen is not None and server.first_seen is not None:
            server.unsaved = False
            batch.servers[sid] = (server.first_seen, server.last_seen, server.last_call, server.interval)
        for name, tool in server.tools.items():
            if tool.unsaved and tool.discover is not None:
                tool.unsaved = False
                batch.discovers[sid, name] = (tool.discovered_at, tool.discover)
    return batch


def _with_sums(minutes: dict[_Key, Tally | _Columns]) -> dict[_Key, Tally]:
    """The rows of each tool and server, and those of all servers together."""
    rows = {key: one if isinstance(one, Tally) else Tally(_cell(one)) for key, one in minutes.items()}
    for key, tally in list(rows.items()):
        rows.setdefault(_Key(key.start, _ALL, key.tool), Tally()).add(tally)
    return rows


def _row(step: int, key: _Key, tally: Tally) -> tuple[Any, ...]:
    return step, key.tool, key.sid, key.start, *_columns(tally)


def _columns(minute: Tally | _Columns) -> _Columns:
    if not isinstance(minute, Tally):
        return minute
    marks = json.dumps(minute.marks, ensure_ascii=True, separators=(",", ":")) if minute.marks else None
    return minute.calls, minute.errors, minute.total_ms, histogram.pack(minute.buckets), marks


def _cell(row: Sequence[Any]) -> Cell:
    """The cell of the columns calls, errors, total_ms, histogram, marks."""
    cell = Cell()
    cell.calls, cell.errors, cell.total_ms = row[0], row[1], row[2]
    cell.buckets = histogram.unpack(row[3])
    if row[4]:
        cell.marks = json.loads(row[4])
    return cell


def _fold(database: sqlite3.Connection, minutes: Iterable[tuple[_Key, Tally]]) -> None:
    """Adds minutes to their hours and days."""
    sums: dict[tuple[int, _Key], Tally] = {}
    for key, minute in minutes:
        for step in (_HOUR, _DAY):
            sums.setdefault((step, key._replace(start=key.start // step * step)), Tally()).add(minute)
    for (step, key), tally in sums.items():
        found = database.execute(
            f"{_READ} WHERE step = ? AND tool = ? AND sid = ? AND start = ?",
            (step, key.tool, key.sid, key.start),
        ).fetchone()
        if found:
            tally.add(Tally(_cell(found)))
    database.executemany(_WRITE, (_row(step, key, tally) for (step, key), tally in sums.items()))


def _progress(database: sqlite3.Connection, name: str) -> int:
    """A time that is kept: `folded`, the last minute that is part of its hour and day; `began`, when the history
    began; `written`, when it was last written; `listening`, since when a hub has listened without a break."""
    found = database.execute("SELECT value FROM progress WHERE name = ?", (name,)).fetchone()
    return int(found[0]) if found else 0


def _set_progress(database: sqlite3.Connection, name: str, value: float) -> None:
    database.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (name, int(value)))


def _fold_leftovers(database: sqlite3.Connection, now: float) -> None:
    """Adds the minutes to their hours that a killed hub had written but not seen the end of."""
    minute, folded = int(now) // _MINUTE * _MINUTE, _progress(database, "folded")
    rows = database.execute(
        "SELECT start, sid, tool, calls, errors, total_ms, histogram, marks FROM calls "
        "WHERE step = ? AND start > ? AND start < ?",
        (_MINUTE, folded, minute),
    ).fetchall()
    if rows:
        database.execute("BEGIN IMMEDIATE")
        _fold(database, ((_Key(*row[:3]), Tally(_cell(row[3:]))) for row in rows))
        _set_progress(database, "folded", max(row[0] for row in rows))
        database.execute("COMMIT")


def _unwind(database: sqlite3.Connection, now: float) -> None:
    """Makes room for time that comes again when the clock has gone back: its minutes are kept in their hours alone."""
    minute, folded = int(now) // _MINUTE * _MINUTE, _progress(database, "folded")
    if folded < minute:
        return
    _fold_leftovers(database, folded + 2 * _DAY)
    database.execute("BEGIN IMMEDIATE")
    database.execute("DELETE FROM calls WHERE step = ? AND start >= ?", (_MINUTE, minute))
    _set_progress(database, "folded", minute - _MINUTE)
    database.execute("COMMIT")


def _restore(database: sqlite3.Connection, collector: Collector, now: float) -> None:
    _fold_leftovers(database, now)
    _unwind(database, now)
    if 0 <= now - _progress(database, "written") <= _SHORT_BREAK_SEC:
        collector.listening_since = float(_progress(database, "listening"))
    begin, slot = int(now) - _DAY, int(now) // SLOT_SECONDS
    began = _progress(database, "began")
    for sid, first_seen, last_seen, last_call, interval in database.execute(
        "SELECT * FROM servers WHERE last_seen >= ? ORDER BY last_seen DESC LIMIT ?", (begin, MAX_SIDS)
    ):
        server = collector.server(sid, now)
        # A clock that was ahead must not keep a server alive.
        server.first_seen, server.last_seen = min(first_seen, now), min(last_seen, now)
        server.last_call = None if last_call is None else min(last_call, now)
        server.series = Series(slot)
        if interval:
            server.intervals.append(interval)
    for (name, sid), rows in itertools.groupby(_stored(database, now), key=lambda row: row[:2]):
        if (known := collector.servers.get(sid)) is not None:
            series = known.series if name == _ALL else collector.tool(known, name, slot).series
            collector.since = min(collector.since, max(began, _restore_series(series, rows, now)))
    for sid, name, at, message in database.execute(
        "SELECT * FROM discovers WHERE at >= ? ORDER BY at DESC LIMIT 2000", (begin,)
    ):
        if (known := collector.servers.get(sid)) is not None:
            tool = collector.tool(known, name, slot)
            if tool.discover is None:
                tool.discover, tool.discovered_at = message, at


def _stored(database: sqlite3.Connection, now: float) -> Iterator[tuple[Any, ...]]:
    """The rows that the windows consist of, series by series: hours for the day, minutes for the last hour."""
    day, hour = WINDOWS["24h"].start(now), WINDOWS["1h"].start(now)
    return database.execute(
        "SELECT tool, sid, start, step, calls, errors, total_ms, histogram, marks FROM calls "
        "WHERE step IN (?, ?) AND start >= CASE step WHEN ? THEN ? ELSE ? END AND start <= ? "
        "AND sid != '' ORDER BY tool, sid",
        (_HOUR, _MINUTE, _HOUR, day // _HOUR * _HOUR, hour, int(now)),
    )


def _restore_series(series: Series, rows: Iterable[tuple[Any, ...]], now: float) -> float:
    """Fills a series from its rows; returns where the first begins."""
    day, hour, minutes = WINDOWS["24h"], WINDOWS["1h"], WINDOWS["5m"]
    recent, until = minutes.start(now) - _MINUTE, int(now) + 1
    stored: list[tuple[Window, int, int, Cell]] = []
    present, first = None, now
    for _, _, start, step, *columns in rows:
        first = min(first, start)
        cell, end = _cell(columns), min(start + step, until)
        if step == _HOUR:
            stored.append((day, start, end, cell))
            continue
        stored.append((hour, start, end, cell))
        if start > recent:
            stored.append((minutes, start, end, cell))
        if end == until:
            # The minute under way is not part of its hour yet.
            stored.append((day, start, end, cell))
            present = cell
    series.restore(stored, present)
    return first


def _history(
    database: sqlite3.Connection, step: int, start: int, sids: list[str], tools: list[str]
) -> dict[str, Any]:
    points: dict[int, Cell] = {}
    for tool in tools or [_ALL]:
        for sid in sids or [_ALL]:
            for at, *columns in database.execute(
                "SELECT start, calls, errors, total_ms, histogram, marks FROM calls "
                "WHERE step = ? AND tool = ? AND sid = ? AND start >= ?",
                (step, tool, sid, start),
            ):
                points.setdefault(at, Cell()).add(_cell(columns))
    return {
        "points": [_point(at, cell) for at, cell in sorted(points.items())],
        "servers": _by_server(database, step, start, sids, tools),
    }


def _point(at: int, cell: Cell) -> dict[str, Any]:
    p50, p95, p99 = histogram.quantiles(cell.buckets, (0.5, 0.95, 0.99))
    return {
        "at": at,
        "calls": cell.calls,
        "errors": cell.errors,
        "total_ms": cell.total_ms,
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
    }


def _by_server(
    database: sqlite3.Connection, step: int, start: int, sids: list[str], tools: list[str]
) -> list[dict[str, Any]]:
    sums: dict[str, list[float]] = {}
    for tool in tools or [_ALL]:
        for sid, calls, errors, total_ms in database.execute(
            "SELECT sid, sum(calls), sum(errors), sum(total_ms) FROM calls "
            "WHERE step = ? AND tool = ? AND sid > '' AND start >= ? GROUP BY sid",
            (step, tool, start),
        ):
            one = sums.setdefault(sid, [0, 0, 0.0])
            one[0], one[1], one[2] = one[0] + calls, one[1] + errors, one[2] + total_ms
    return [
        {"sid": sid, "calls": calls, "errors": errors, "total_ms": total_ms}
        for sid, (calls, errors, total_ms) in sorted(sums.items())
        if not sids or sid in sids
    ]
