"""What each event of the log says, in a short line for people. Pure."""

from shared.domain import events as e

_WHAT_MAX = 240


def in_words(event: e.Event) -> str:
    """What *event* says, in a short line; its tag where it has no words."""
    return _server_in_words(event)[:_WHAT_MAX]


def _server_in_words(event: e.Event) -> str:
    match event:
        case e.ServerSighted():
            build = event.reading.shown or "no build"
            below = ", below the floor" if event.below else ""
            text = f"seen: {event.reading.product} {build}{below} ({', '.join(event.news)})"
        case e.AccusationDropped():
            text = f"readings of {event.product} count no more: it proved itself patched"
        case e.CaseReleased():
            text = f"released: {event.cure.product} {event.cure.shown or ''} seen from {event.by}"
        case e.CaseEnded():
            text = _ENDED[event.why] if event.why else _ENDED["expired" if event.expired else "released"]
        case e.PolicyAdopted() | e.HoldBegan() | e.HoldEnded():
            text = _law_in_words(event)
        case e.CaseHeld() | e.CaseWentOn() | e.NoticeAcknowledged() | e.ReadingsLifted():
            text = _act_in_words(event)
        case _:
            text = _step_in_words(event)
    return text


_ENDED = {
    "expired": "case expired: not seen any more",
    "released": "released case ended",
    "upheld": "case ended: its dispute was upheld, and what it rests on counts no more",
    "corrected": "case ended: an operator said that it should never have been, and what it rests on counts no more",
}
_HELD = {"pause": "its account is paused", "dispute": "its admin disputes it", "mixed": "two machines under one name"}


def _act_in_words(event: e.CaseHeld | e.CaseWentOn | e.NoticeAcknowledged | e.ReadingsLifted) -> str:
    match event:
        case e.CaseHeld():
            return f"held: {_HELD[event.reason]}; mail passes and the clock stands"
        case e.CaseWentOn():
            return (
                f"{'goes on' if event.plan else 'still held or observed'}: no longer held because {_HELD[event.reason]}"
            )
        case e.NoticeAcknowledged():
            return "notice acknowledged: it counts as delivered"
        case e.ReadingsLifted():
            return "what was struck of it counts again"


def _step_in_words(event: e.Event) -> str:
    """The steps of a case, one format each; the tag for those that have no words (none of them is kept)."""
    match event:
        case e.CaseOpened():
            text = f"case opened about {event.product}{'' if event.enforced else ', observed only'}"
        case e.ClockStarted():
            text = f"enforced from now on: the case about {event.product} starts at day 0"
        case e.ClockStopped():
            text = f"observed from now on: the case about {event.product} stands at day 0"
        case e.StageEntered():
            text = f"stage {event.stage}: {event.throttle_minutes_per_hour} min/h deferred, {event.block_minutes_per_hour} min/h refused"
        case e.CaseMoved() | e.CaseMixed():
            text = _turn_in_words(event)
        case e.BlockingGranted() | e.BlockingSigned() | e.BlockingWaits():
            text = _blocking_in_words(event)
        case e.NoticeDue():
            text = f"notice {event.notice} due: {event.kind.replace('-', ' ')}"
        case e.NoticeSettled():
            text = f"notice {event.notice} {event.outcome}"
        case _:
            text = str(event.__struct_config__.tag)
    return text


def _turn_in_words(event: e.CaseMoved | e.CaseMixed) -> str:
    match event:
        case e.CaseMoved():
            return f"the case about {event.product} came here from {event.source}: the same server, better known"
        case e.CaseMixed():
            return f"seen below the floor again before the released case had ended: {event.product} of two machines"


def _blocking_in_words(event: e.BlockingGranted | e.BlockingSigned | e.BlockingWaits) -> str:
    match event:
        case e.BlockingGranted():
            stage = event.rows[0].stage
            return f"blocking granted, stage {stage} only" if event.rest else f"blocking granted, from stage {stage} on"
        case e.BlockingSigned():
            return f"an operator signed that stage {event.stage} may begin"
        case e.BlockingWaits():
            return f"blocking waits for the cap of the day: place {event.place}, not before {event.day.isoformat()}"


def _law_in_words(event: e.PolicyAdopted | e.HoldBegan | e.HoldEnded) -> str:
    match event:
        case e.PolicyAdopted():
            return f"policy {event.policy.version} in force ({event.policy.mode}): {event.policy.title}"
        case e.HoldBegan():
            return "the law stands still: " + ("frozen by an operator" if event.reason == "freeze" else "nobody looked")
        case e.HoldEnded():
            return f"hold ended ({event.reason}); held so far: {event.held}"
