"""The table of faults, as data; `docs/architecture/faults.md` shows it."""

from services.enforcer.setup import Step
from tests.faults import disk, on_broker, on_processes
from tests.faults.fault import Fault

_TAKES_OVER = "another enforcer leads, or the same one after its restart; no input is lost or taken twice"
_STEPS = tuple(
    Fault(
        name=f"leader-killed-{step.name.lower()}",
        meaning=f"SIGKILL of the leader behind step {int(step)} of a turn",
        holds=_TAKES_OVER,
        inject=on_processes.killed_behind(step),
    )
    for step in Step
)

TABLE: tuple[Fault, ...] = (
    *_STEPS,
    Fault("leader-killed", "SIGKILL of the leader at any moment", _TAKES_OVER, on_processes.leader_killed),
    Fault(
        "standby-killed",
        "SIGKILL of the enforcer that does not lead",
        "the leader goes on",
        on_processes.standby_killed,
    ),
    Fault(
        "leader-stopped", "SIGTERM of the leader", f"it ends with code 0; {_TAKES_OVER}", on_processes.leader_stopped
    ),
    Fault(
        "leader-frozen-short",
        "SIGSTOP of the leader for less than its session time-out",
        "it goes on",
        on_processes.frozen("enforcer", 0.2, 0.6),
    ),
    Fault(
        "leader-frozen-long",
        "SIGSTOP of the leader for longer than its session time-out, then SIGCONT",
        "another one leads; what thaws is fenced, and writes nothing",
        on_processes.frozen("enforcer", 1.8, 3.0),
    ),
    Fault(
        "detector-killed",
        "SIGKILL of the detector",
        "evidence is read again, and is no news again",
        on_processes.killed("detector"),
    ),
    Fault(
        "detector-frozen-short",
        "SIGSTOP of the detector for less than its session time-out",
        "it goes on",
        on_processes.frozen("detector", 0.2, 0.6),
    ),
    Fault(
        "detector-frozen-long",
        "SIGSTOP of the detector for longer than its session time-out, then SIGCONT",
        "it joins the group again; what it passes on twice is no news",
        on_processes.frozen("detector", 1.8, 3.0),
    ),
    Fault(
        "edge-killed",
        "SIGKILL of an edge",
        "its mail passes at once; started again, it reads the table anew",
        on_processes.killed("edge"),
    ),
    Fault(
        "edge-frozen-short",
        "SIGSTOP of an edge for a moment",
        "mail waits for it",
        on_processes.frozen("edge", 0.2, 0.8),
    ),
    Fault(
        "edge-frozen-long",
        "SIGSTOP of an edge for longer than the MTA waits",
        "the MTA lets mail pass; thawed, the edge follows on",
        on_processes.frozen("edge", 3.5, 4.5),
        weight=3,
    ),
    Fault(
        "notifier-killed",
        "SIGKILL of the notifier",
        "notices are late at most; no blocking without one",
        on_processes.killed("notifier"),
    ),
    Fault(
        "notifier-frozen",
        "SIGSTOP of the notifier, then SIGCONT",
        "notices are late at most",
        on_processes.frozen("notifier", 0.5, 2.5),
    ),
    Fault(
        "all-killed",
        "SIGKILL of every service at once",
        "all start anew, from what was committed",
        on_processes.all_killed,
        weight=2,
    ),
    Fault(
        "broker-restarted",
        "the broker is stopped in order and started",
        "services wait, or end and are started again",
        on_broker.restarted,
    ),
    Fault(
        "broker-killed", "SIGKILL of the broker, started at once", "what was acknowledged is there", on_broker.killed
    ),
    Fault(
        "broker-frozen",
        "SIGSTOP of the broker for some seconds",
        "connections hang and go on",
        on_broker.frozen,
        weight=3,
    ),
    Fault(
        "broker-away",
        "no broker for 5 to 10 s",
        "edges go on by their tables; the law is held",
        on_broker.away(5.0, 10.0),
        weight=2,
    ),
    Fault(
        "broker-away-30",
        "no broker for 30 s",
        "edges only observe once H is older than stale_after",
        on_broker.away(30.0, 31.0),
        weight=1,
    ),
    Fault(
        "disk-full",
        "not a byte is left on the broker's disk, then there is room again",
        "the broker ends; started again, what was acknowledged is there",
        on_broker.disk_full,
        weight=2,
        needs=disk.why_not_here,
    ),
    Fault(
        "impostor",
        "somebody with the enforcer's transactional id leaves a transaction with garbage open",
        "the leader is fenced and ends; the next one has the garbage aborted",
        on_broker.impostor,
    ),
    Fault(
        "transaction-left-open",
        "a stranger's open transaction in one to five topics, until it times out",
        "readers wait behind it, and nobody reads what it wrote",
        on_broker.left_open,
        weight=3,
    ),
    Fault(
        "offsets-deleted",
        "the group of detector, enforcer or notifier is deleted with its offsets",
        "all is read again and nothing is taken twice; the enforcer goes by its position alone",
        on_broker.offsets_deleted,
        weight=3,
    ),
    Fault(
        "edge-past-retention",
        "an edge is away while a stranger's key in `decisions` is deleted and the deletion cleaned away",
        "the digest tells it: it only observes, and reads the table again",
        on_broker.edge_past_retention,
        weight=2,
    ),
    Fault(
        "decisions-recreated",
        "`decisions` is deleted and made again, empty",
        "edges only observe until the whole table is written again",
        on_broker.decisions_recreated,
        weight=3,
    ),
    Fault(
        "leader-clock-10-minutes",
        "the leader's clock is 10 to 12 minutes off",
        "it ends, and dates no law",
        on_processes.LEADER_CLOCK_10_MINUTES,
        weight=3,
    ),
    Fault(
        "leader-clock-40-days",
        "the leader's clock is 40 to 48 days off",
        "it ends, and dates no law",
        on_processes.LEADER_CLOCK_40_DAYS,
        weight=3,
    ),
    Fault(
        "edge-clock-10-minutes",
        "an edge's clock is 10 to 12 minutes off",
        "from the next heartbeat on it only observes, and publishes nothing",
        on_processes.EDGE_CLOCK_10_MINUTES,
        weight=3,
    ),
    Fault(
        "edge-clock-40-days",
        "an edge's clock is 40 to 48 days off",
        "from the next heartbeat on it only observes, and publishes nothing",
        on_processes.EDGE_CLOCK_40_DAYS,
        weight=3,
    ),
    Fault(
        "cold-start-good",
        "an edge starts while the broker is away, with a whole young file",
        "it judges by the file",
        on_broker.cold_start("good"),
        weight=2,
    ),
    Fault(
        "cold-start-torn",
        "likewise with a torn file",
        "mail passes until the broker is back",
        on_broker.cold_start("torn"),
        weight=2,
    ),
    Fault(
        "cold-start-old",
        "likewise with a file older than stale_after",
        "mail passes until the broker is back",
        on_broker.cold_start("old"),
        weight=2,
    ),
)

BY_NAME = {fault.name: fault for fault in TABLE}
