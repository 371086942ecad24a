"""
A bare count of sightings per server with quixstreams, exactly once, with its RocksDB store and changelog; nothing that we do besides.

Run by the benchmark with the peers' own Python: bootstrap, topic, consumer group, state directory, and "key" (the record's
key is the server, its value is not looked at) or "value" (the value is read as JSON, too).
"""

import sys
from typing import Any

from quixstreams import Application, State  # type: ignore[import-not-found] # installed for the benchmark alone

_COMMIT_S = 0.1
"""As Kafka Streams has it under exactly-once; quixstreams' own five seconds would hide where the counting ends."""


def count(_: Any, state: State) -> None:  # noqa: ANN401 (bytes or any JSON)
    """One more of the key that the record has."""
    state.set("count", state.get("count", 0) + 1)


def main() -> None:
    """Count until killed."""
    bootstrap, topic, group, state_dir, mode = sys.argv[1:]
    app = Application(
        broker_address=bootstrap,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=_COMMIT_S,
        state_dir=state_dir,
        loglevel="WARNING",
    )
    reading = "json" if mode == "value" else "bytes"
    counted = app.dataframe(app.topic(topic, key_deserializer="str", value_deserializer=reading))
    counted.update(count, stateful=True)
    app.run()


if __name__ == "__main__":
    main()
