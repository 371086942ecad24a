"""What `patchgate broker status` says, in words."""

from shared.messaging import embedded
from shared.messaging.cluster_status import ClusterStatus, NodeStatus

_MEGABYTE = 1024 * 1024
_ROLES = {"controller": "leads the controllers", "follower": "follows", "": "is not in the cluster"}


def of_one(seen: embedded.BrokerStatus) -> str:
    """One node, in a sentence."""
    if seen.running:
        manner = "answers" if seen.answers else "does not answer (yet)"
        memory, data = seen.resident_bytes // _MEGABYTE, seen.data_bytes // _MEGABYTE
        return f"The broker runs at {seen.bootstrap} and {manner}: process {seen.pid}, {memory} MB of memory, {data} MB of data in {seen.data_dir}."
    if seen.failure is not None:
        return f"No broker runs; the last one ended by itself: {seen.failure} (log {seen.log_path})."
    return f"No broker runs in {seen.data_dir.parent}: `patchgate broker start`."


def of_cluster(seen: ClusterStatus) -> str:
    """Three nodes, a line each, and a sentence on their partitions."""
    return "\n".join([*(_node(one) for one in seen.nodes), _partitions(seen)])


def _node(seen: NodeStatus) -> str:
    name = f"Node {seen.node_id} ({seen.bootstrap})"
    if not seen.running:
        why = f"ended by itself: {seen.failure} (log {seen.log_path})" if seen.failure is not None else "does not run"
        return f"{name} {why}."
    manner = "answers" if seen.answers else "does not answer (yet)"
    memory, data = seen.resident_bytes // _MEGABYTE, seen.data_bytes // _MEGABYTE
    holds = f"leads {seen.leads} partitions, is behind in {seen.lacks}"
    return f"{name} {manner}, {_ROLES[seen.role]}: process {seen.pid}, {holds}, {memory} MB of memory, {data} MB of data in {seen.data_dir}."


def _partitions(seen: ClusterStatus) -> str:
    if not seen.answers:
        return "No node serves: `patchgate broker start` starts those that do not run."
    if seen.unwritable:
        return f"{seen.unwritable} of {seen.partitions} partitions have one whole copy alone and take nothing until another node is back."
    if seen.under_replicated:
        return f"{seen.under_replicated} of {seen.partitions} partitions lack a copy; all can be written."
    return f"All {seen.partitions} partitions have all their copies."
