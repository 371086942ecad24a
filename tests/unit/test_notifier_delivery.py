"""What the notifier does about a notice, and when: the ledger, the way of one delivery, the contacts; no Kafka, no relay."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.contacts import Contacts
from services.notifier.delivery import LAPSE, Answer, Backoff, Delivery, Done, Report, Rest, Send, Step
from services.notifier.ledger import Ledger, OpenNotice
from shared.domain import events as e
from shared.domain.evidence import Reading
from shared.domain.records import Contact, ReportNotice
from tests.support.notices import DAY_0, PRODUCT, SERVER, contact, notice_due, told

ANNA, BERT = contact("anna"), contact("bert")
OK = Answer(kind="delivered", code=250, enhanced="2.0.0")
NO = Answer(kind="refused", code=550, enhanced="5.1.1")
LATER = Answer(kind="later", code=451, enhanced="4.3.0")
AWAY = Answer(kind="unreachable")
BACKOFF = Backoff(first_s=30.0, max_s=3600.0)
YOUNG = timedelta(minutes=1)


def _open(*, void: bool = False) -> OpenNotice:
    return OpenNotice(due=notice_due(), due_at=DAY_0, told_at=DAY_0, offset=7, void=void)


def _settled(notice: str = "12-1") -> e.NoticeSettled:
    return e.NoticeSettled(server=SERVER, product=PRODUCT, notice=notice, outcome="delivered", at_law=DAY_0)


def _released(server: str = SERVER, product: str = PRODUCT) -> e.CaseReleased:
    cure = Reading(product=product, shown=None, low=None, high=None, form="smtp", reason="exact")
    return e.CaseReleased(server=server, product=product, cure=cure, by=server, seen_at=DAY_0, ends_at=DAY_0)


def _decided(notice: str) -> e.RequestDecided:
    report = ReportNotice(
        id=f"notice-{notice}-lapsed",
        who="notifier",
        why="",
        made_at=DAY_0,
        notice=notice,
        server=SERVER,
        outcome="lapsed",
    )
    return e.RequestDecided(request=report, outcome="no effect", reason="its case is over")


def _ledger(*events: e.Event) -> Ledger:
    ledger = Ledger()
    for offset, event in enumerate(events):
        ledger.note(offset, told(event, due=DAY_0 - timedelta(hours=1)))
    return ledger


# --- ledger ----------------------------------------------------------------------------------------------------------


def test_a_notice_is_open_until_it_is_settled() -> None:
    """The log alone says so; its age counts from when it fell due, not from when that was written."""
    ledger = _ledger(notice_due(), notice_due(notice="12-2"), _settled())
    assert list(ledger.open) == ["12-2"]
    assert ledger.open["12-2"].due_at == DAY_0 - timedelta(hours=1)
    assert ledger.open["12-2"].told_at == DAY_0


def test_the_answer_to_our_report_settles_a_notice_whose_case_is_over() -> None:
    """Then the law writes no `notice-settled`; without this the offset would stand still for ever."""
    assert not _ledger(notice_due(), _decided("12-1")).open


def test_the_kept_offset_never_passes_an_open_notice() -> None:
    """It is that of the oldest open one, whatever came behind it; with none open it is the position."""
    ledger = _ledger(_settled("9-1"), notice_due(), _settled("9-2"), notice_due(notice="12-2"), _settled("12-2"))
    assert ledger.keep_from(5) == 1
    ledger.note(5, told(_settled()))
    assert ledger.keep_from(6) == 6


@pytest.mark.parametrize(
    "event",
    [
        _released(),
        e.CaseEnded(server=SERVER, product=PRODUCT, expired=True),
        e.ClockStopped(server=SERVER, product=PRODUCT, plan=e.Plan(rows=())),
        e.ClockStarted(server=SERVER, product=PRODUCT, plan=e.Plan(rows=())),
    ],
)
def test_the_end_of_a_case_voids_its_notices(event: e.Event) -> None:
    """Nobody is warned any more of what will not come; the notice of the release itself stays good."""
    release = notice_due("release", notice="12-2")
    ledger = _ledger(notice_due(), release, event, notice_due(notice="30-1"))
    assert {name: notice.void for name, notice in ledger.open.items()} == {"12-1": True, "12-2": False, "30-1": False}


@pytest.mark.parametrize("event", [_released(server="other@192.0.2.7"), _released(product="Microsoft Exchange 2007")])
def test_another_case_voids_nothing(event: e.Event) -> None:
    """Server and product must both be the same."""
    assert not _ledger(notice_due(), event).open["12-1"].void


# --- one delivery ----------------------------------------------------------------------------------------------------


def _step(delivery: Delivery, *contacts: Contact, age: timedelta = YOUNG, now_s: float = 0.0) -> Step:
    return delivery.next_step(contacts, age=age, now_s=now_s)


def _answered(delivery: Delivery, *answers: tuple[Contact, Answer], now_s: float = 0.0) -> None:
    for who, answer in answers:
        delivery.note(who.id, answer, now_s=now_s)
    delivery.tried()


def test_all_contacts_are_mailed_and_the_first_250_is_reported() -> None:
    """The report carries code and enhanced status; when it is out there is nothing more to do."""
    delivery = Delivery(_open(), BACKOFF)
    assert _step(delivery, ANNA, BERT) == Send(contacts=(ANNA, BERT))
    _answered(delivery, (ANNA, NO), (BERT, OK))
    assert _step(delivery, ANNA, BERT) == Report(outcome="delivered", code=250, enhanced="2.0.0")
    delivery.was_reported("delivered")
    assert _step(delivery, ANNA, BERT) == Done()


def test_the_others_are_tried_on_after_one_was_delivered() -> None:
    """A contact that could not be reached yet gets his mail too, and the one who has it does not get it again."""
    delivery = Delivery(_open(), BACKOFF)
    _answered(delivery, (ANNA, OK), (BERT, LATER))
    assert isinstance(_step(delivery, ANNA, BERT), Report)
    delivery.was_reported("delivered")
    assert isinstance(_step(delivery, ANNA, BERT), Rest)
    assert _step(delivery, ANNA, BERT, now_s=31.0) == Send(contacts=(BERT,))
    assert _step(delivery, ANNA, BERT, age=LAPSE, now_s=31.0) == Done()


def test_a_4xx_waits_longer_each_time() -> None:
    """30 s, then 60 s, up to an hour; it is never given up before the notice lapses."""
    delivery, now_s, waits = Delivery(_open(), BACKOFF), 0.0, []
    for _ in range(9):
        assert isinstance(_step(delivery, ANNA, now_s=now_s), Send)
        _answered(delivery, (ANNA, LATER), now_s=now_s)
        rest = _step(delivery, ANNA, now_s=now_s)
        assert isinstance(rest, Rest)
        waits.append(rest.seconds)
        now_s += rest.seconds
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_rest_ends_no_later_than_the_notice_lapses() -> None:
    """However long the wait would be, the lapse is reported when it comes."""
    delivery = Delivery(_open(), BACKOFF)
    _answered(delivery, (ANNA, LATER))
    assert _step(delivery, ANNA, age=LAPSE - timedelta(seconds=5)) == Rest(seconds=5.0)
    assert _step(delivery, ANNA, age=LAPSE) == Report(outcome="lapsed", code=451, enhanced="4.3.0")


def test_all_refused_has_failed() -> None:
    """A 5xx is not tried again; when every contact has one, the notice has failed, and that is told with its code."""
    delivery = Delivery(_open(), BACKOFF)
    _answered(delivery, (ANNA, NO), (BERT, LATER))
    assert isinstance(_step(delivery, ANNA, BERT), Rest)
    assert _step(delivery, ANNA, BERT, now_s=30.0) == Send(contacts=(BERT,))
    _answered(delivery, (BERT, NO), now_s=30.0)
    assert _step(delivery, ANNA, BERT, now_s=30.0) == Report(outcome="failed", code=550, enhanced="5.1.1")
    delivery.was_reported("failed")
    assert _step(delivery, ANNA, BERT) == Done()


def test_without_a_contact_it_waits_for_one() -> None:
    """When one appears the mail goes out at once."""
    delivery = Delivery(_open(), BACKOFF)
    assert _step(delivery) == Rest(seconds=(LAPSE - YOUNG).total_seconds())
    assert _step(delivery, ANNA) == Send(contacts=(ANNA,))


def test_lapsed_without_any_contact_says_so() -> None:
    """The operator learns that nobody could be told, not that telling failed."""
    delivery = Delivery(_open(), BACKOFF)
    assert _step(delivery, age=LAPSE) == Report(outcome="no-contact")
    delivery.was_reported("no-contact")
    assert _step(delivery, ANNA, age=LAPSE) == Done()


def test_a_contact_that_was_erased_is_no_missing_contact() -> None:
    """There was one: then it lapsed."""
    delivery = Delivery(_open(), BACKOFF)
    _answered(delivery, (ANNA, LATER))
    _step(delivery, ANNA)
    assert _step(delivery, age=LAPSE) == Report(outcome="lapsed", code=451, enhanced="4.3.0")


def test_a_void_notice_lapses_at_once() -> None:
    """Its case was released: it is not sent, whether there is a contact or not."""
    assert _step(Delivery(_open(void=True), BACKOFF), ANNA) == Report(outcome="lapsed")
    assert _step(Delivery(_open(void=True), BACKOFF)) == Report(outcome="lapsed")


def test_what_was_delivered_before_its_case_was_released_is_delivered() -> None:
    """The 250 came first: it is told as it was."""
    delivery = Delivery(_open(), BACKOFF)
    _answered(delivery, (ANNA, OK))
    delivery.notice = _open(void=True)
    assert _step(delivery, ANNA) == Report(outcome="delivered", code=250, enhanced="2.0.0")


def test_what_was_reported_before_is_not_touched() -> None:
    """After a restart, with the report on the bus and the enforcer behind, nobody gets the mail again."""
    assert _step(Delivery(_open(), BACKOFF, reported=True), ANNA) == Done()


@given(
    st.lists(st.tuples(st.sampled_from([ANNA, BERT]), st.sampled_from([OK, NO, LATER, AWAY])), max_size=12),
    st.floats(min_value=0, max_value=60 * 3600),
)
def test_nobody_gets_a_mail_after_his_250_or_5xx(answers: list[tuple[Contact, Answer]], age_s: float) -> None:
    """Whatever the relay answers and whenever one looks, who was delivered or refused is never in the next round."""
    delivery = Delivery(_open(), BACKOFF)
    settled = set()
    for who, answer in answers:
        if who.id in settled:
            continue
        _answered(delivery, (who, answer))
        settled |= {who.id} if answer in {OK, NO} else set()
        step = _step(delivery, ANNA, BERT, age=timedelta(seconds=age_s), now_s=1e9)
        if isinstance(step, Send):
            assert not settled & {one.id for one in step.contacts}
            assert age_s < LAPSE.total_seconds()


# --- contacts --------------------------------------------------------------------------------------------------------


def _ids(contacts: Contacts) -> list[str]:
    return [found.id for found in contacts.for_notice(notice_due())]


def test_a_servers_own_contacts_come_before_those_of_its_connector() -> None:
    """Those of the connector are asked only where the server has none; others never."""
    contacts = Contacts()
    contacts.put(contact("it", connector="branch"))
    contacts.put(contact("else", connector="other"))
    contacts.put(contact("neighbour", server="ex.alt.example@192.0.2.7"))
    assert _ids(contacts) == ["it"]
    contacts.put(contact("bert"))
    contacts.put(contact("anna"))
    assert _ids(contacts) == ["anna", "bert"]
    contacts.erase("anna")
    contacts.erase("bert")
    contacts.erase("nobody")
    assert _ids(contacts) == ["it"]


def test_a_contact_can_change_what_it_is_for() -> None:
    """Set anew under the same id it is found in its new place only."""
    contacts = Contacts()
    contacts.put(contact("anna", connector="branch"))
    contacts.put(contact("anna", connector="other"))
    assert _ids(contacts) == []
    assert len(contacts) == 1
