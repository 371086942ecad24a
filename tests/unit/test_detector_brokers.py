"""The detector's library and a list of brokers."""

import asyncio

import structlog

from services.detector.app import _Listener, declare
from services.detector.core import Reader
from services.detector.handlers import BatchHandler
from services.detector.outlet import KafkaOutlet
from services.detector.settings import DetectorSettings
from shared.domain.catalogue import load_catalogue


async def test_each_of_several_brokers_is_an_address_of_its_own() -> None:
    """The library takes a text for one address; of `a:1,b:2` it would make a host `a:1,b`."""
    settings, log = DetectorSettings(bootstrap="a:1,b:2,c:3"), structlog.get_logger()
    handler = BatchHandler("p.", Reader(load_catalogue()), KafkaOutlet(settings.bootstrap, log), log)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    broker, _ = declare(settings, handler, _Listener(log), failed)
    assert broker.specification.url == ["a:1", "b:2", "c:3"]
