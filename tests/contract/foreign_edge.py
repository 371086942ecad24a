"""
An edge of somebody else: written from docs/contract/README.md, and knowing nothing but the JSON files beside it.

It follows `decisions`, keeps a table, holds it to each heartbeat, and says what is in force for a server.
"""

import hashlib
import json
from bisect import bisect_right
from datetime import datetime, timedelta
from pathlib import Path
from re import fullmatch
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition


class ForeignEdge:
    """servers: the values as stored. compared: seq of each heartbeat that was looked at, and what differed then."""

    def __init__(self, contract: Path, prefix: str) -> None:
        channel = json.loads((contract / "asyncapi.json").read_text())["channels"]["decisions"]
        keys = {name: message["bindings"]["kafka"]["key"] for name, message in channel["messages"].items()}
        self.topic = channel["address"].replace("{prefix}", prefix)
        self.types = json.loads((contract / "schema.json").read_text())["$defs"]
        self.kind_of = {key["const"]: name for name, key in keys.items() if "const" in key}
        self.servers: dict[str, bytes] = {}
        self.latest: dict[str, Any] = {}
        self.policy_digest = ""
        self.compared: list[tuple[int, list[str]]] = []

    async def follow(self, bootstrap: str) -> None:
        """Read from the beginning, for ever."""
        reader = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
        await reader.start()
        try:
            partition = TopicPartition(self.topic, 0)
            reader.assign([partition])
            await reader.seek_to_beginning(partition)
            end = (await reader.end_offsets([partition]))[partition]
            async for record in reader:
                self.take(record.key.decode(), record.value, loading=record.offset < end)
        finally:
            await reader.stop()

    def take(self, key: str, value: bytes | None, *, loading: bool) -> None:
        """One record; one that is not as the schema says raises ValueError."""
        name = self.kind_of.get(key, "Decision")
        if name == "Decision":
            self.servers.pop(key, None)
            if value:
                self._read(name, value)
                self.servers[key] = value
            return
        self.latest[key] = self._read(name, value or b"")
        if key == "policy":
            policy, exempt, _ = (
                (value or b"").removeprefix(b'{"type":"policy.v1","policy":').partition(b',"exemptions":[')
            )
            policy = policy if exempt else policy.removesuffix(b"}")
            self.policy_digest = hashlib.sha256(policy).hexdigest()
        elif not loading:
            own = {"count": len(self.servers), "digest": self.digest(), "policy_digest": self.policy_digest}
            beat = self.latest[key]
            self.compared.append((beat["seq"], [field for field in own if own[field] != beat[field]]))

    def _read(self, name: str, value: bytes) -> Any:
        record, schema = json.loads(value), self.types[name]
        missing = [field for field in schema["required"] if field not in record]
        if missing or record["type"] != schema["properties"]["type"]["const"]:
            raise ValueError(f"not a {name}: {missing or record['type']}")
        return record

    def digest(self) -> str:
        """Of the table, as heartbeats carry it."""
        shares = [hashlib.sha256(key.encode() + b"\n" + value).digest()[:16] for key, value in self.servers.items()]
        return f"{sum(int.from_bytes(share, 'big') for share in shares) % 2**128:032x}"

    def law_time(self) -> datetime:
        """H less held of the newest heartbeat."""
        beat = self.latest["heartbeat"]
        sign, days, seconds = fullmatch(r"(-?)P(?:(\d+)D)?(?:T([\d.]+)S)?", beat["held"]).groups("0")  # type: ignore[union-attr] # the schema says that it matches
        held = timedelta(days=int(days), seconds=float(seconds))
        return datetime.fromisoformat(beat["h"]) - (-held if sign == "-" else held)

    def rows(self, server: str, law_time: datetime) -> list[tuple[dict[str, Any], bool]]:
        """The row in force of each case of *server*, and whether it is enforced."""
        cases = json.loads(self.servers[server])["cases"] if server in self.servers else []
        found = []
        for case in cases:
            begun = bisect_right([datetime.fromisoformat(row["since"]) for row in case["rows"]], law_time)
            found += [(case["rows"][begun - 1], case["enforced"])] if begun else []
        return found

    def spares(self, servers: list[str], peer: str, connector: str, reading: dict[str, Any]) -> bool:
        """Whether a message passes that matches these ids: it is exempt, or what it shows was struck."""
        named = [("peer", peer), ("connector", connector), *(("server", server) for server in servers)]
        if any((one["kind"], one["target"]) in named for one in self.latest["policy"].get("exemptions", ())):
            return True
        known = [json.loads(self.servers[server]) for server in servers if server in self.servers]
        return any(
            one["product"] == reading["product"]
            and (one["low"] is None or (one["low"], one["high"]) == (reading["low"], reading["high"]))
            for decision in known
            for one in decision.get("struck", ())
        )

    def first_minute(self, server: str, now: datetime) -> int:
        """Of this hour's window; *now* is UTC."""
        salt = self.latest["policy"]["policy"]["salt"]
        text = f"{salt}\n{server}\n{now:%Y-%m-%dT%H}Z".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") % 60

    def action(self, server: str, row: dict[str, Any], now: datetime) -> str:
        """What happens in this minute to a message that the row is about."""
        into = (now.minute - self.first_minute(server, now)) % 60
        block, throttle = row["block_minutes_per_hour"], row["throttle_minutes_per_hour"]
        return "reject" if into < block else "defer" if into < block + throttle else "accept"
