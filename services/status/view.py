"""
The state as status sees it: read from the topics alone, kept in memory, replaced as a whole when it is read anew.

Bounds: servers are bounded by the enforcer (4 to 5 KB each here); timelines, edges and remembered heartbeats by this module.
"""

from collections import OrderedDict
from datetime import datetime

import msgspec

from services.status.decided import Decided
from services.status.standbys import Standbys
from services.status.timeline import Timelines
from shared.domain.errors import RecordSchemaError
from shared.domain.events import LogRecord
from shared.domain.records import EdgeReport, Heartbeat
from shared.domain.state import Position, Server
from shared.messaging import topics as t
from shared.messaging.codec import decode
from shared.messaging.decisions import DecisionTable

EDGES_MAX = 1000
"""At the bound the edge that reported longest ago is dropped."""
HEARTBEATS_KEPT = 2000
"""Digests of so many table states, so that an edge that lags a little can still be compared."""

TOPICS = (t.ENFORCER_STATE, t.DECISIONS, t.EDGE_REPORTS, t.LOG)
"""What status reads; each has one partition."""

_POSITION = msgspec.json.Decoder(Position)


class View:
    """
    All that the pages show. `take` is the only way in.

    heartbeat_appended: real time. loaded: read up to the ends that stood at the start. differs_in: in what the decisions
    differ from the newest heartbeat, "" in nothing, None: no heartbeat since the load. decided: the board's own.
    """

    def __init__(self, decided: Decided | None = None) -> None:
        self.decided = decided or Decided()
        self.servers: dict[str, Server] = {}
        self.position: Position | None = None
        self.table = DecisionTable()
        self.heartbeat_appended: datetime | None = None
        self.edges: OrderedDict[str, EdgeReport] = OrderedDict()
        self.timelines = Timelines()
        self.unreadable = 0
        self.loaded = False
        self.differs_in: str | None = None
        self._digests: OrderedDict[int, str] = OrderedDict()

    def edge_agrees(self, report: EdgeReport) -> bool | None:
        """Whether the edge held the table that the heartbeat it saw spoke of; None: that heartbeat is not remembered."""
        digest = self._digests.get(report.heartbeat_seq)
        return None if digest is None else digest == report.table_digest

    def take(self, topic: str, key: bytes | None, value: bytes | None, appended: datetime) -> None:
        """
        Take up one record of *topic* (name without prefix). appended: real time at which the broker took it.

        Raises:
            RecordSchemaError: it cannot be read; the state is as before, and the record counted.
        """
        try:
            if topic == t.LOG:
                self._take_log(decode(t.LOG, value))
            elif topic == t.ENFORCER_STATE:
                self._take_state(key or b"", value)
            elif topic == t.DECISIONS:
                self._take_decision(key or b"", value, appended)
            else:
                self._take_report(value)
        except RecordSchemaError:
            self.unreadable += 1
            raise

    def _take_log(self, record: LogRecord) -> None:
        self.timelines.note(record)
        self.decided.note(record)

    def _take_state(self, key: bytes, value: bytes | None) -> None:
        if key == t.KEY_POSITION:
            self.position = _position(value)
        elif key == t.KEY_POLICY or key.startswith((t.KEY_REQUEST_PREFIX, t.KEY_ACCOUNT_PREFIX)):
            return  # the policy is read from `decisions`, as the edges read it; the rest is the enforcer's own
        elif value is None:
            self.servers.pop(_text(key), None)
        else:
            server: Server = decode(t.ENFORCER_STATE, value)
            self.servers[server.server] = server

    def _take_decision(self, key: bytes, value: bytes | None, appended: datetime) -> None:
        record = self.table.apply(key, value)
        if not isinstance(record, Heartbeat):
            return
        self.heartbeat_appended = appended
        self._digests[record.seq] = record.digest
        if len(self._digests) > HEARTBEATS_KEPT:
            self._digests.popitem(last=False)
        if self.loaded:  # inside the load, compaction may have taken records that an old heartbeat still counts
            self.differs_in = self.table.difference_to(record)

    def _take_report(self, value: bytes | None) -> None:
        if value is None:
            return
        report: EdgeReport = decode(t.EDGE_REPORTS, value)
        self.edges[report.edge] = report
        self.edges.move_to_end(report.edge)
        if len(self.edges) > EDGES_MAX:
            self.edges.popitem(last=False)


class ReaderState:
    """
    How the reader fares. progress: real time at which the state shown was last known to be the newest.

    lag: records not read yet, by topic. trouble: why the state shown is not the newest, "" when it is.
    """

    def __init__(self) -> None:
        self.progress: datetime | None = None
        self.lag: dict[str, int] = {}
        self.trouble = "nothing has been read yet"


class Board:
    """
    What the pages look at: the last view that was read to its end, who stands by (None: unknown), how the reader fares.

    decided: what became of requests; kept when everything is read anew, for somebody may wait.
    """

    def __init__(self) -> None:
        self.decided = Decided()
        self.view: View | None = None
        self.standbys: Standbys | None = None
        self.reader = ReaderState()


def _text(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise RecordSchemaError(f"a key of the state is not UTF-8: {key[:60]!r}") from error


def _position(value: bytes | None) -> Position:
    try:
        return _POSITION.decode(value or b"")
    except msgspec.MsgspecError as error:
        raise RecordSchemaError(f"the position record cannot be read: {error}") from error
