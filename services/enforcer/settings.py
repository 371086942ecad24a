"""What the enforcer takes from the environment, beside what all services take."""

from typing import Annotated

import msgspec

from shared.runtime.settings import CommonSettings


class EnforcerSettings(CommonSettings, frozen=True, kw_only=True):
    """enforcer_session_timeout_ms: after so long without a sign of life of the leader another enforcer takes over."""

    enforcer_session_timeout_ms: Annotated[int, msgspec.Meta(ge=500, le=300_000)] = 6_000
