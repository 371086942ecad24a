"""
Mails out of the history of an rspamd: what its controller gives for `/history`, with or without the lines of `patchgate recipe rspamd`.

Each row tells peer and time; the symbol of the recipe adds HELO, the client's name and the sender's lines. Where rspamd keeps its
history without Redis it leaves the symbols' options out, so peers are all that can be told.
"""

from collections.abc import Iterator

import msgspec

from services.cli.look.headers import instant_of
from services.cli.look.logged import Logged
from services.cli.look.sources import Piece, Trouble, open_plain
from shared.domain.header_text import LINE_LENGTH_MAX

FILE_BYTES_MAX = 64_000_000
"""Of one history, some 30,000 rows; rspamd keeps 200 unless told otherwise. A larger file is told and not read."""

SYMBOL = "PATCHGATE"
LINES_TOLD = 6
"""`Received` lines that the recipe tells of each mail, top first."""

RULE = f"""\
rspamd_config:register_symbol({{
  name = '{SYMBOL}',
  type = 'normal',
  flags = 'nostat',
  score = 0.0,
  callback = function(task)
    local told = {{ 'helo=' .. (task:get_helo() or ''), 'name=' .. (task:get_hostname() or '') }}
    for place, line in ipairs(task:get_header_full('Received') or {{}}) do
      if place > {LINES_TOLD} then break end
      local value = (line.value or ''):gsub('%s+', ' ')
      value = value:match('^.*%s(by%s.*)$') or value
      told[#told + 1] = place .. '=' .. value:sub(1, 600)
    end
    return true, 1.0, told
  end,
}})
"""

RECIPE = f"""\
# rspamd remembers of each mail what `patchgate look` needs: a symbol that scores nothing. No mail is changed.
# Do (where that file is there already, add to it):
cat >> /etc/rspamd/rspamd.local.lua <<'END'
{RULE}END
rspamadm configtest && systemctl restart rspamd

# Take the history, as often as it turns over (nrows of history_redis, 200 mails unless told otherwise):
curl -s -H "Password: $PASSWORD" http://127.0.0.1:11334/history > rspamd-history.json

# Undo: take these lines out of /etc/rspamd/rspamd.local.lua again, and restart rspamd.

# Mind: without Redis behind it (module history_redis) rspamd forgets what a symbol says; then only peers are told.
"""


class _Symbol(msgspec.Struct):
    options: list[object] = []


class _Row(msgspec.Struct):
    """Of each row only this is read. user: `unknown` where nobody logged in. symbols: their names alone, in old versions."""

    ip: str = ""
    unix_time: float = 0
    user: str = "unknown"
    helo: str = ""
    symbols: dict[str, _Symbol] | str = {}


class _History(msgspec.Struct):
    rows: list[msgspec.Raw]


_HISTORY = msgspec.json.Decoder(_History | list[msgspec.Raw])
_ROW = msgspec.json.Decoder(_Row)


def history_in(piece: Piece) -> Iterator[Logged | Trouble]:
    """The mails of a piece of kind `rspamd`."""
    path = piece.paths[0]
    with open_plain(path) as stream:
        text = stream.read(FILE_BYTES_MAX + 1)
    if len(text) > FILE_BYTES_MAX:
        yield Trouble(path, f"is a history of more than {FILE_BYTES_MAX} bytes: split it")
        return
    try:
        history = _HISTORY.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        yield Trouble(path, f"is no history of an rspamd: {error}")
        return
    for number, row in enumerate(history.rows if isinstance(history, _History) else history, start=1):
        try:
            yield _mail(_ROW.decode(row))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            yield Trouble(f"{path}, row {number}", f"is no row of a history: {error}")


def _mail(row: _Row) -> Logged:
    told: dict[str, str] = {}
    symbol = row.symbols.get(SYMBOL) if isinstance(row.symbols, dict) else None
    for option in symbol.options if symbol else ():
        key, _, value = str(option).partition("=")
        told.setdefault(key, value[:LINE_LENGTH_MAX])
    lines = tuple(told[str(place)].encode() for place in range(1, LINES_TOLD + 1) if str(place) in told)
    return Logged(
        address=row.ip,
        name=told.get("name", ""),
        resolve="unknown",  # how the name was looked up is the MTA's affair, and not told
        helo=told.get("helo", "") or row.helo,
        auth=row.user not in {"", "unknown"},
        received=lines if told else None,
        seconds=instant_of(row.unix_time),
        own_on_top=True,
    )
