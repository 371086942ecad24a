"""The settings of status: what all services take, where to listen, and who may ask."""

import ipaddress
from typing import Annotated

import msgspec

from shared.runtime.settings import CommonSettings


class StatusSettings(CommonSettings, frozen=True, kw_only=True):
    """
    Where the pages listen, and who may ask for acts.

    status_host: loopback unless somebody says otherwise, for the pages ask nobody who he is. status_port: 0 takes any free one.
    status_tokens: the file of the tokens with which people ask; "" for nobody may. status_wait_s: how long an act waits for the
    law's answer.
    """

    status_host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    status_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8025
    status_tokens: str = ""
    status_wait_s: Annotated[float, msgspec.Meta(ge=0, le=60)] = 5.0

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the pages."""
        try:
            return ipaddress.ip_address(self.status_host).is_loopback
        except ValueError:
            return self.status_host == "localhost"
