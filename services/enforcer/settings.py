"""What the enforcer takes from the environment, beside what all services take."""

import os
import re
import socket
from typing import Annotated

import msgspec

from shared.runtime.settings import CommonSettings


class EnforcerSettings(CommonSettings, frozen=True, kw_only=True):
    """
    enforcer_session_timeout_ms: after so long without a sign of life of the leader another enforcer takes over.

    enforcer_instance: by which name people tell enforcers apart; "" means host and process id.
    """

    enforcer_session_timeout_ms: Annotated[int, msgspec.Meta(ge=500, le=300_000)] = 6_000
    enforcer_instance: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9._-]{0,64}$")] = ""


def instance_of(settings: EnforcerSettings) -> str:
    """The name of this process among enforcers, as readiness and heartbeats show it."""
    host = re.sub("[^A-Za-z0-9._-]", "-", socket.gethostname())[:40]
    return settings.enforcer_instance or f"{host}-{os.getpid()}"
