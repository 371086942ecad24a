"""Histories of an rspamd: peers always, builds where the recipe's symbol is there."""

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.look.own_names import Own
from services.cli.look.scan import tally_of
from services.cli.look.sources import Piece, pieces_of
from services.cli.look.tally import Tally

LINE = "by ex.example (192.0.2.7) with Microsoft SMTP Server id 15.1.2507.27; Mon, 7 Sep 2026 08:00:00 +0000"
OWN = "by mx.own.example (Postfix) with ESMTP id 4Zq1abcde; Mon, 7 Sep 2026 08:00:01 +0000"


def _row(*options: str, **fields: object) -> dict[str, object]:
    symbols = {"PATCHGATE": {"score": 0.0, "options": list(options)}} if options else {"R_SPF_ALLOW": {"score": -0.2}}
    return {"ip": "192.0.2.7", "unix_time": 1_788_768_000, "user": "unknown", "symbols": symbols, **fields}


def _tally(path: Path, history: object, own: str = "") -> Tally:
    path.write_text(history if isinstance(history, str) else json.dumps(history))
    [piece] = pieces_of([str(path)])
    assert isinstance(piece, Piece)
    assert piece.kind == "rspamd"
    return tally_of(piece, Own(frozenset({own})))


@pytest.mark.parametrize("wrap", [list, lambda rows: {"version": 2, "rows": rows}, lambda rows: {"rows": rows}])
def test_the_symbol_gives_build_and_names(tmp_path: Path, wrap: Any) -> None:
    """In each form that rspamd gives; lines of one's own server on top are passed by."""
    rows = [_row("helo=ex.example", "name=ex.example", f"1={OWN}", f"2={LINE}")]
    tally = _tally(tmp_path / "h", wrap(rows), own="mx.own.example")
    [(sender, count)] = tally.senders.items()
    assert (sender.peer, sender.helo, sender.client_name, sender.resolve) == (
        "192.0.2.7",
        "ex.example",
        "ex.example",
        "unknown",
    )
    assert sender.run.reading is not None
    assert (str(sender.run.reading.shown), count.first) == ("15.1.2507.27", 1_788_768_000)


def test_without_the_symbol_peers_are_counted(tmp_path: Path) -> None:
    """A history without Redis, an old one, a user who logged in, and a row without an address."""
    rows = [_row(), _row(symbols="R_SPF_ALLOW, X"), _row(user="me"), _row(ip="unknown"), _row(ip="10.0.0.1")]
    tally = _tally(tmp_path / "h", rows)
    assert (tally.mails, tally.no_lines, tally.own_only, len(tally.peers)) == (5, 2, 3, 1)


def test_what_is_no_row_is_told_and_the_rest_counts(tmp_path: Path) -> None:
    """With its number; a history that ends in the middle is told as a whole."""
    tally = _tally(tmp_path / "h", [_row(), {"ip": 5}, "x", _row()])
    assert tally.mails == 2
    assert [trouble.place.rpartition(", ")[2] for trouble in tally.troubles] == ["row 2", "row 3"]
    cut = _tally(tmp_path / "h", json.dumps({"rows": [_row()]})[:-5])
    assert (cut.mails, cut.troubles_all) == (0, 1)
    assert "is no history of an rspamd" in cut.troubles[0].why
