"""Fixtures that every test can ask for."""

from tests.support.kafka import broker_bootstrap, prefix

__all__ = ["broker_bootstrap", "prefix"]
