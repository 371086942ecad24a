"""How fast a program of somebody else counts `sightings`: committed records a second, and a CPU second of its process."""

import asyncio
import subprocess
import time
from typing import NamedTuple

import psutil  # type: ignore[import-untyped] # it ships no types
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError as CoordinatorNotAvailableError

from bench.stack import BenchError, Place

_LOOK_S = 0.01
_COUNTED_S = 300.0


class Rate(NamedTuple):
    """Of one round."""

    per_s: float
    per_cpu_s: float


class _Sample(NamedTuple):
    committed: int
    at_s: float
    cpu_s: float


def counted(where: Place, process: subprocess.Popen[bytes], group: str, end: int) -> Rate:
    """
    The rate from *group*'s first committed offset to the commit that reaches *end*, looked at a hundred times a second.

    What comes before the first commit (start, assignment, first fetch) does not count, as it does not for our enforcer.

    Raises:
        BenchError: the program ends, takes too long, or commits only once.
    """
    first, last = asyncio.run(_commits(where, process, group, end))
    if first.committed >= last.committed or first.cpu_s >= last.cpu_s:
        raise BenchError(f"{group} committed all {end} records at once: too few to measure it")
    done = last.committed - first.committed
    return Rate(done / (last.at_s - first.at_s), done / (last.cpu_s - first.cpu_s))


async def _commits(where: Place, process: subprocess.Popen[bytes], group: str, end: int) -> tuple[_Sample, _Sample]:
    deadline = time.monotonic() + _COUNTED_S
    watched = psutil.Process(process.pid)
    admin = AIOKafkaAdminClient(bootstrap_servers=where.bootstrap)
    await admin.start()
    first: _Sample | None = None
    try:
        while True:
            committed = await _committed(admin, group)
            sample = _Sample(committed, time.monotonic(), _cpu_s(watched))
            if committed and first is None:
                first = sample
            if first is not None and committed >= end:
                return first, sample
            if process.poll() is not None:
                raise BenchError(f"{group}: the program ended with {process.returncode}")
            if time.monotonic() > deadline:
                raise BenchError(f"{group} has counted {committed} of {end} records within {_COUNTED_S:.0f} s")
            await asyncio.sleep(_LOOK_S)
    finally:
        await admin.close()


async def _committed(admin: AIOKafkaAdminClient, group: str) -> int:
    try:
        offsets = await admin.list_consumer_group_offsets(group)
    except CoordinatorNotAvailableError:
        return 0  # the broker's first group: its topic is made just now
    return max((one.offset for one in offsets.values()), default=0)


def _cpu_s(watched: psutil.Process) -> float:
    """Of the process and its children, those that have ended included."""
    times = watched.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
