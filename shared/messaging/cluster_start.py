"""
Starting nodes of a cluster that do not run: all at once, and waiting until all that live know one another.

A node that does not come up does not take the others down: two are a majority, and serve.
"""

import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import msgspec

from shared.messaging import jars, node_data, node_process, probe
from shared.messaging import kafka_node as node
from shared.messaging.cluster_plan import NODES, Cluster, listed, remember, running
from shared.messaging.jars import BrokerError, Progress
from shared.messaging.kafka_node import MIN_IN_SYNC
from shared.messaging.node_process import Launch

_POLL_S = 0.1
_FORMATTERS = 2  # each is a Java of its own


class NodeHandle(msgspec.Struct, frozen=True):
    """A node that runs and answers."""

    node_id: int
    pid: int
    bootstrap: str
    log_path: Path
    was_running: bool


class ClusterHandle(msgspec.Struct, frozen=True):
    """Three nodes that run and know one another. bootstrap: all three."""

    bootstrap: str
    nodes: list[NodeHandle]


class _Started(NamedTuple):
    launch: Launch
    process: subprocess.Popen[bytes]


class Starter:
    """One start, under the directory's lock."""

    def __init__(
        self,
        common: node.Directory,
        cluster: Cluster,
        settings: Mapping[str, str],
        progress: Progress,
        timeout_s: float,
    ) -> None:
        self._common = common
        self._cluster = cluster
        self._settings = settings
        self._progress = progress
        self._timeout_s = timeout_s
        self._was_running = running(common, cluster)

    def start(self, only: Sequence[int] | None = None) -> ClusterHandle:
        """Start what does not run; *only*: of these nodes."""
        wanted = [one for one in self._cluster.members if only is None or one.node_id in only]
        missing = [one for one in wanted if one.node_id not in self._was_running]
        if missing:
            env = self._environment(missing)
            for batch in self._batches(missing):
                self._start(batch, env)
            if not self._cluster.formatted:
                remember(self._common, msgspec.structs.replace(self._cluster, formatted=True))
        else:
            self._join()
        return self._handle()

    def _environment(self, members: Sequence[node.Member]) -> dict[str, str]:
        node.check_space(self._common, nodes=len(members))
        node.java()
        env = node.environment(jars.ensure(progress=self._progress))
        for one in members:
            probe.check_free(one.host, one.port)
            probe.check_free(one.host, one.controller_port)
        return env

    def _batches(self, members: list[node.Member]) -> list[list[node.Member]]:
        """
        All at once; a node whose directory is gone comes last.

        It starts with nothing, and must find a majority that has everything: its empty vote could else help a node that was
        behind to become leader.
        """
        if not self._cluster.formatted:
            return [members]
        empty = [one for one in members if not node_data.has_data(self._common.of_node(one.node_id))]
        if len(empty) > NODES - MIN_IN_SYNC:
            raise BrokerError(
                f"nodes {listed(empty)} in {self._common.root} have lost their data, and one copy alone may lack what was "
                "acknowledged: put them back from a backup, or begin in another --state-dir"
            )
        for one in empty:
            if (gone := self._common.of_node(one.node_id)).root.exists():
                raise BrokerError(
                    f"node {one.node_id} has lost its data: put {gone.data} back, or delete {gone.root} and start again: "
                    "it then copies everything from the other two"
                )
        return [batch for batch in ([one for one in members if one not in empty], empty) if batch]

    def _start(self, members: list[node.Member], env: dict[str, str]) -> None:
        with ThreadPoolExecutor(_FORMATTERS) as pool:
            launches = list(pool.map(lambda one: self._prepared(one, env), members))
        started: dict[int, _Started] = {}
        failures: dict[int, str] = {}
        ready = False
        try:
            for one, launch in zip(members, launches, strict=True):
                started[one.node_id] = _Started(launch, node_process.spawn(launch))
            failures = self._await(started)
            ready = len(running(self._common, self._cluster).keys() - failures.keys()) >= MIN_IN_SYNC
        finally:
            self._end(started if not ready else {number: started[number] for number in failures})
        if failures:
            raise BrokerError(self._told(failures))

    def _prepared(self, member: node.Member, env: dict[str, str]) -> Launch:
        directory = self._common.of_node(member.node_id)
        node.create(directory)
        node.write_settings(directory, member, self._cluster.members, self._settings)
        step = f"checking the data of node {member.node_id}"
        self._progress(step, 0, 1)
        node_data.check_or_format(directory, env, node_data.Identity(self._cluster.cluster_id, member.node_id))
        self._progress(step, 1, 1)
        return Launch(node.server_command(directory), env, probe.address(member.host, member.port), directory)

    def _await(self, started: Mapping[int, _Started]) -> dict[int, str]:
        """Wait until those that live see one another; which did not come, and why."""
        deadline = time.monotonic() + self._timeout_s
        others = len(self._was_running.keys() - started.keys())
        while True:
            alive = [number for number, one in started.items() if one.process.poll() is None]
            seen = {number: brokers_seen_by(self._cluster.members[number - 1]) for number in alive}
            late = [number for number, count in seen.items() if count < others + len(alive)]
            self._progress("starting Kafka", len(alive) - len(late), len(started))
            if not late or others + len(alive) < MIN_IN_SYNC or time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        failed = [number for number in started if number not in alive or (number in late and not seen[number])]
        return {number: self._why(started[number]) for number in failed}

    def _why(self, one: _Started) -> str:
        code = one.process.poll()
        directory = one.launch.directory
        how = f"did not answer within {self._timeout_s:.0f} s" if code is None else f"ended with code {code}"
        return f"{how}: {node_process.reason(directory)} (more in {directory.log} and {directory.out})"

    def _told(self, failures: Mapping[int, str]) -> str:
        number, why = next(iter(failures.items()))
        others = running(self._common, self._cluster)
        rest = (
            f"nodes {', '.join(map(str, others))} run and serve"
            if len(others) >= MIN_IN_SYNC
            else "without two nodes there is no service, and what was started was ended"
        )
        return f"node {number} {why}; {rest}"

    def _end(self, started: Mapping[int, _Started]) -> None:
        for one in started.values():
            one.process.kill()
            node_process.forget(one.launch.directory, one.process.pid)

    def _join(self) -> None:
        deadline = time.monotonic() + self._timeout_s
        while True:
            silent = [one for one in self._cluster.members if not brokers_seen_by(one)]
            if not silent:
                return
            if time.monotonic() > deadline:
                raise BrokerError(
                    f"node {silent[0].node_id} (process {self._was_running[silent[0].node_id]}) runs but does not answer: "
                    f"`patchgate broker restart --node {silent[0].node_id}`"
                )
            time.sleep(_POLL_S)

    def _handle(self) -> ClusterHandle:
        pids = running(self._common, self._cluster)
        return ClusterHandle(
            self._cluster.bootstrap,
            [
                NodeHandle(
                    one.node_id,
                    pids[one.node_id],
                    probe.address(one.host, one.port),
                    self._common.of_node(one.node_id).log,
                    one.node_id in self._was_running,
                )
                for one in self._cluster.members
                if one.node_id in pids
            ],
        )


def brokers_seen_by(member: node.Member) -> int:
    """How many nodes *member* knows to be alive; 0 where it does not answer."""
    try:
        return probe.alive_brokers(member.host, member.port)
    except OSError:
        return 0
