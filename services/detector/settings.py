"""What the detector takes from the environment, beside what all services take."""

from typing import Annotated

import msgspec

from shared.runtime.settings import CommonSettings


class DetectorSettings(CommonSettings, frozen=True, kw_only=True):
    """detector_session_timeout_ms: after so long without a sign of life another detector takes over the partitions."""

    detector_session_timeout_ms: Annotated[int, msgspec.Meta(ge=500, le=300_000)] = 10_000
