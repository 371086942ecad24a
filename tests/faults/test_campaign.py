"""Sixty faults on real processes, each of the table at least once; `make faults` runs as many as one likes."""

import logging
import os
import secrets
from pathlib import Path

import pytest

from tests.faults.campaign import Options, drawable, run, summary
from tests.support.postfix import why_not_here

pytestmark = [pytest.mark.broker, pytest.mark.crash]

FAULTS = 60


@pytest.mark.timeout(1800)  # 4 minutes on two quiet cores
async def test_sixty_faults_lose_nothing_double_nothing_and_make_nothing_harsher(tmp_path: Path) -> None:
    """Each fault of the table, and some again: after each, all checks; and the mail was not only let pass."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = int(os.environ.get("FAULTS_SEED", secrets.randbelow(1_000_000)))
    print(f"seed {seed}: FAULTS_SEED={seed} draws the same")  # noqa: T201
    report = await run(Options(count=FAULTS, seed=seed, base=tmp_path, each=True), print)
    print("\n".join(summary(report)))  # noqa: T201
    assert not report.violations
    faults, not_drawn = drawable()
    assert {result.fault for result in report.results} == {fault.name for fault in faults}
    assert report.counts["replies: reject"] > 0
    assert report.counts["replies: defer"] > 0
    assert report.counts["replies: accept"] > 0
    assert report.counts["replies: in calm, to be refused"] > 0
    if os.environ.get("CI"):
        assert not not_drawn
        assert not why_not_here()
        assert report.counts["mails by Postfix"] > 0
