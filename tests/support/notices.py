"""Notices as the enforcer writes them, for tests: the shipped policy's stages from a day 0 on, and records of the log."""

from datetime import UTC, datetime, timedelta

import msgspec

from shared.domain import events as e
from shared.domain.build import parse_build
from shared.domain.floors import Floor
from shared.domain.policy import parse_policy, shipped_policy_text
from shared.domain.records import Contact, Row

DAY_0 = datetime(2026, 11, 24, 11, 0, tzinfo=UTC)
SERVER = "ex16.alt.example@192.0.2.7"
PRODUCT = "Microsoft Exchange 2016"
LINE = (
    "from pc ([10.0.0.5]) by ex16.alt.example ([10.0.0.2]) with Microsoft SMTP Server "
    "(version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.1.2507.39; Tue, 24 Nov 2026 11:00:00 +0000"
)


def rows(day_0: datetime = DAY_0) -> tuple[Row, ...]:
    """The shipped policy's eight stages."""
    return tuple(
        Row(
            since=day_0 + timedelta(days=stage.from_day),
            stage=number,
            throttle_minutes_per_hour=stage.throttle_minutes_per_hour,
            block_minutes_per_hour=stage.block_minutes_per_hour,
        )
        for number, stage in enumerate(parse_policy(shipped_policy_text()).stages, start=1)
    )


def notice_due(kind: e.NoticeKind = "opening", stage: int = 1, **changes: object) -> e.NoticeDue:
    """A notice about an Exchange 2016; from stage 5 on blocking has been granted."""
    granted = 8 if stage >= 5 and kind == "stage" else 4
    plain: dict[str, object] = {
        "notice": "12-1",
        "kind": kind,
        "stage": stage,
        "server": SERVER,
        "connector": "branch",
        "product": PRODUCT,
        "floor": Floor(product=PRODUCT, builds=(parse_build("15.1.2507.61"),)),
        "opened_at": DAY_0,
        "rows": rows()[:granted],
        "blocking": rows()[granted:],
        "line": LINE,
        "line_seen_at": DAY_0,
        "line_edge": "mx1",
    }
    return e.NoticeDue(**{**plain, **changes})  # type: ignore[arg-type]  # a test names fields by hand


def told(event: e.Event, at: datetime = DAY_0, *, due: datetime | None = None, seq: int = 1) -> e.LogRecord:
    """A record of the log that tells *event*; its hash chain is nobody's business here."""
    return e.LogRecord(seq=seq, at=at, due=due, h=at, prev="", cause=None, event=event)


def contact(contact_id: str = "anna", **changes: str) -> Contact:
    """Who is told about the server."""
    scope = {} if changes.keys() & {"server", "connector"} else {"server": SERVER}
    plain = {"type": "contact.v1", "id": contact_id, "address": f"{contact_id}@firm.example"}
    return msgspec.convert({**plain, **scope, **changes}, Contact)
