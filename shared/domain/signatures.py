"""
`sign`: an operator says that a blocking stage may begin. Pure.

Of a protected server each blocking stage needs it, beside the notice. Of any other server it stands for the notice: then only
the first blocking stage can be signed, and only as long as no notice is old enough.
"""

from typing import Literal

from shared.domain import events as e
from shared.domain.blocking import is_protected, told_at
from shared.domain.policy import Policy
from shared.domain.state import Case, Law, Server

Outcome = tuple[Literal["done", "no effect", "refused"], str, tuple[e.Event, ...]]
"""What becomes of the request, why, and what follows."""


def signature(server: Server, case: Case, stage: int, law: Law, policy: Policy) -> Outcome:
    """What comes of signing *stage* of a case that is enforced and not released."""
    ahead = [row.stage for row in (case.kept or case).blocking]
    if stage not in ahead:
        which = f"those are {', '.join(map(str, ahead))}" if ahead else "it has none"
        return "refused", f"stage {stage} is no blocking stage that the case has ahead; {which}", ()
    beside = is_protected(policy, server)
    before = case.signed_at(stage) if beside else case.signed_instead(stage)
    if before is not None:
        return "no effect", f"stage {stage} was signed before", ()
    if not beside:
        told = told_at(case, policy)
        if told is not None and (told <= law.now or not policy.notices.needed_for_blocking):
            return "no effect", "no signature is asked for: blocking has all that it needs but its day or its turn", ()
        if stage != ahead[0]:
            return (
                "no effect",
                f"the server is not protected: a signature counts for its first blocking stage, {ahead[0]}",
                (),
            )
    signed = e.BlockingSigned(server=server.server, product=case.product, stage=stage, at_law=law.now, beside=beside)
    return (
        "done",
        f"stage {stage} is signed: it begins once its day has come and all else that it needs is there",
        (signed,),
    )
