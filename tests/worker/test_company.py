"""What the threads of a worker agree on."""

import select
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from jobd.worker.company import Company
from tests.support.eventually import eventually


class Mood:
    """Whether the worker was asked to rest."""

    must_rest = False


@pytest.fixture
def mood() -> Mood:
    return Mood()


@pytest.fixture
def company(mood: Mood) -> Company:
    return Company(lambda: mood.must_rest)


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[bool]]]:
    """A function that calls something in a thread."""
    with ThreadPoolExecutor(8) as threads:
        yield threads.submit


Aside = Callable[..., Future[bool]]


def is_rung(company: Company) -> bool:
    return bool(select.select([company], [], [], 0)[0])


def test_one_leads_at_a_time(company: Company, aside: Aside):
    assert company.lead(0)
    assert not company.lead(0)
    next_one = aside(company.lead, None)
    company.follow()
    assert next_one.result(30)
    assert not company.lead(0)


def test_each_that_leaves_the_lead_wakes_one(company: Company, aside: Aside):
    assert company.lead(0)
    led: list[bool] = []

    def lead_once() -> bool:
        is_led = company.lead(30)
        led.append(is_led)
        company.follow()
        return is_led

    waiting = [aside(lead_once) for _ in range(5)]
    company.follow()
    assert all(each.result(30) for each in waiting)


def test_nobody_leads_while_the_worker_rests(company: Company, mood: Mood, aside: Aside):
    assert company.lead(0)
    waiting = aside(company.lead, None)
    assert not is_rung(company)
    mood.must_rest = True
    company.look_up()
    assert not waiting.result(30)
    assert is_rung(company)  # which ends the leader's wait
    company.follow()
    assert not company.lead(0)
    mood.must_rest = False
    company.look_up()
    assert not is_rung(company)
    assert company.lead(0)


def test_a_rest_ends_when_something_changes(company: Company, aside: Aside):
    assert not company.rest(0)
    resting = threading.Event()

    def rest() -> bool:
        resting.set()
        return company.rest(30)

    rested = aside(rest)
    resting.wait(30)
    eventually(lambda: company.look_up() or rested.done())
    assert rested.result()


def test_who_wants_to_be_alone_waits_for_the_others_and_keeps_new_ones_away(
    company: Company, aside: Aside
):
    assert company.join()
    assert company.join()
    alone = aside(company.send_away)
    eventually(lambda: is_rung(company))
    assert company.must_rest
    assert not company.join()
    assert not company.send_away()  # one at a time
    assert not alone.done()
    company.leave()
    assert alone.result(30)
    company.let_in()
    assert not company.must_rest
    assert not is_rung(company)
    assert company.join()


def test_who_waits_to_be_alone_gives_up_when_the_worker_rests(
    company: Company, mood: Mood, aside: Aside
):
    assert company.join()
    assert company.join()
    alone = aside(company.send_away)
    eventually(lambda: is_rung(company))
    mood.must_rest = True
    company.look_up()
    assert not alone.result(30)
    mood.must_rest = False
    company.look_up()
    assert not company.must_rest
    assert company.join()
