"""Pushing by name: what reaches the store, and in how many round trips."""

import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jobd.app import App, Configuration, open_store
from jobd.client import Client
from jobd.config import RedisSettings, client_redis
from jobd.errors import (
    ConfigError,
    InvalidArguments,
    InvalidJob,
    RedisUnavailable,
)
from jobd.middleware import Chain, ClientCall, ClientChain, ClientMiddleware
from jobd.payload import Payload
from tests.support.clock import FakeClock
from tests.support.recording_store import RecordingStore

NOW_S = 1_800_000_000
IN_2030 = 1_893_456_000


@pytest.fixture
def store() -> RecordingStore:
    return RecordingStore()


def a_client(store: RecordingStore, *middleware: ClientMiddleware, **options: Any) -> Client:
    chain: ClientChain = Chain(*middleware)
    return Client(lambda: store, middleware=chain, clock=FakeClock(), **options)


def an_item(**fields: Any) -> dict[str, Any]:
    return {"class": "Echo", "args": [1], **fields}


# push


def test_a_push_writes_one_payload_to_its_queue(store: RecordingStore) -> None:
    jid = a_client(store).push(an_item(queue="low"))
    assert store.pushed == [
        {
            "retry": True,
            "queue": "low",
            "class": "Echo",
            "args": [1],
            "jid": jid,
            "created_at": NOW_S * 1000,
            "enqueued_at": NOW_S * 1000,
        }
    ]
    assert [list(batches) for _, batches in store.writes] == [["low"]]


def test_defaults_fill_in_what_the_item_leaves_out(store: RecordingStore) -> None:
    client = a_client(store, defaults={"queue": "low", "retry": 3})
    client.push(an_item(retry=0))
    assert (store.pushed[0]["queue"], store.pushed[0]["retry"]) == ("low", 0)


def test_wire_7_writes_float_seconds(store: RecordingStore) -> None:
    a_client(store, wire=7).push(an_item())
    assert [repr(store.pushed[0][key]) for key in ("created_at", "enqueued_at")] == [
        "1800000000.0"
    ] * 2


def test_a_scheduled_job_has_a_score_and_neither_at_nor_enqueued_at(store: RecordingStore) -> None:
    a_client(store).push(an_item(at=60))
    ((at_s, payload),) = store.scheduled
    assert at_s == NOW_S + 60
    assert not {"at", "enqueued_at"} & payload.keys()
    assert store.pushed == []


@pytest.mark.parametrize("at", [0, NOW_S, NOW_S - 5, 1_000_000_000])
def test_a_job_that_is_due_already_goes_to_its_queue(store: RecordingStore, at: int) -> None:
    a_client(store).push(an_item(at=at))
    assert len(store.pushed) == 1
    assert store.scheduled == []


@pytest.mark.parametrize("item", [an_item(args=[(1,)]), an_item(queue=""), an_item(at="soon")])
def test_nothing_is_written_of_a_job_that_is_refused(
    store: RecordingStore, item: dict[str, Any]
) -> None:
    with pytest.raises(InvalidJob):
        a_client(store).push(item)
    assert store.writes == []


def test_the_message_about_an_argument_names_the_job(store: RecordingStore) -> None:
    with pytest.raises(InvalidArguments, match=r"^Echo: args\[0\] is a tuple"):
        a_client(store).push(an_item(args=[(1,)]))


def test_a_failed_push_names_the_job_that_may_have_arrived(store: RecordingStore) -> None:
    store.fails_after = 0
    with pytest.raises(RedisUnavailable) as caught:
        a_client(store).push(an_item(jid="7"))
    assert caught.value.jid == "7"


def test_with_strict_off_arguments_go_as_the_json_module_writes_them(
    store: RecordingStore, caplog: pytest.LogCaptureFixture
) -> None:
    a_client(store, strict="off").push(an_item(args=[(1, 2)]))
    a_client(store, strict="warn").push(an_item(args=[{3: 4}]))
    assert [payload["args"] for payload in store.pushed] == [[[1, 2]], [{"3": 4}]]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Echo: args[0] has the key 3" in caplog.text


@pytest.mark.parametrize("value", [float("nan"), object(), "\ud800"])
def test_even_with_strict_off_nothing_is_pushed_that_is_not_json(
    store: RecordingStore, value: object
) -> None:
    with pytest.raises(InvalidArguments):
        a_client(store, strict="off").push(an_item(args=[value]))
    assert store.writes == []


# middleware


def with_locale(payload: Payload, proceed: ClientCall) -> Payload | None:
    payload["locale"] = "de"
    return proceed(payload)


def only_odd(payload: Payload, proceed: ClientCall) -> Payload | None:
    return proceed(payload) if payload["args"][0] % 2 else None


def to_low(payload: Payload, proceed: ClientCall) -> Payload | None:
    return proceed({**payload, "queue": "low"})


def test_middleware_may_change_the_payload_and_its_queue(store: RecordingStore) -> None:
    a_client(store, with_locale, to_low).push(an_item())
    assert (store.pushed[0]["locale"], store.pushed[0]["queue"]) == ("de", "low")
    assert list(store.writes[0][1]) == ["low"]


def test_middleware_may_stop_a_push(store: RecordingStore) -> None:
    client = a_client(store, only_odd)
    assert client.push(an_item(args=[2])) is None
    assert store.writes == []


def test_middleware_sees_and_may_move_the_time_of_a_scheduled_job(store: RecordingStore) -> None:
    def an_hour_later(payload: Payload, proceed: ClientCall) -> Payload | None:
        if "at" in payload:
            payload["at"] += 3600
        return proceed(payload)

    client = a_client(store, an_hour_later)
    client.push(an_item(at=60))
    client.push(an_item())
    assert store.scheduled[0][0] == NOW_S + 3660
    assert "at" not in store.scheduled[0][1]
    assert len(store.pushed) == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"args": [(1,)]}, r"args\[0\] is a tuple"),
        ({"queue": ""}, "queue: "),
        ({"extra": {1}}, "extra is a set"),
        ({"at": "soon"}, "is no time"),
    ],
)
def test_what_middleware_did_is_checked(
    store: RecordingStore, changes: dict[str, Any], says: str
) -> None:
    client = a_client(store, lambda payload, proceed: proceed({**payload, **changes}))
    with pytest.raises(InvalidJob, match=says):
        client.push(an_item())
    assert store.writes == []


def test_middleware_that_returns_something_else_is_told_so(store: RecordingStore) -> None:
    def wrong(payload: Payload, proceed: ClientCall) -> Any:
        return True

    client = a_client(store, wrong)
    with pytest.raises(InvalidJob, match="client middleware returned True; return what proceed"):
        client.push(an_item())


# push_bulk


def lists(count: int) -> list[list[int]]:
    return [[index] for index in range(count)]


def test_a_bulk_goes_in_slices_of_a_thousand_in_order(store: RecordingStore) -> None:
    jids = a_client(store).push_bulk(an_item(args=lists(2_500)))
    assert [len(batches["default"]) for _, batches in store.writes] == [1000, 1000, 500]
    assert [payload["args"][0] for payload in store.pushed] == list(range(2_500))
    assert [payload["jid"] for payload in store.pushed] == jids
    assert len(set(jids)) == 2_500


def test_a_scheduled_bulk_goes_in_slices_of_a_hundred(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(250)), at=60)
    assert [len(entries) for _, entries in store.writes] == [100, 100, 50]
    assert {at_s for at_s, _ in store.scheduled} == {NOW_S + 60}


def test_the_size_of_a_slice_can_be_chosen(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(5), batch_size=2))
    assert len(store.writes) == 3


def test_an_empty_bulk_writes_nothing(store: RecordingStore) -> None:
    assert a_client(store).push_bulk(an_item(args=[])) == []
    assert store.writes == []


def test_lazy_arguments_are_read_slice_by_slice(store: RecordingStore) -> None:
    written: list[int] = []

    def lazily() -> Iterator[tuple[int]]:
        for index in range(2_001):
            written.append(len(store.writes))
            yield (index,)

    a_client(store).push_bulk(an_item(args=lazily()))
    assert (written[0], written[1000], written[2000]) == (0, 1, 2)


def test_jids_stand_where_their_arguments_stood_and_none_where_a_push_was_stopped(
    store: RecordingStore,
) -> None:
    jids = a_client(store, only_odd).push_bulk(an_item(args=lists(4)))
    assert [jid is None for jid in jids] == [True, False, True, False]
    assert [payload["jid"] for payload in store.pushed] == [jids[1], jids[3]]


def test_each_job_of_a_bulk_may_have_its_own_time(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(3)), at=[60, 0, IN_2030])
    assert [(at_s, payload["args"]) for at_s, payload in store.scheduled] == [
        (NOW_S + 60, [0]),
        (IN_2030, [2]),
    ]
    assert [payload["args"] for payload in store.pushed] == [[1]]


def test_times_are_matched_to_lazy_arguments_too(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=iter(lists(2))), at=[60, 120])
    assert [at_s for at_s, _ in store.scheduled] == [NOW_S + 60, NOW_S + 120]


def test_a_spread_bulk_is_spread_over_the_interval(store: RecordingStore) -> None:
    a_client(store).push_bulk(an_item(args=lists(200)), spread_interval=1)
    scores = [at_s for at_s, _ in store.scheduled]
    assert len(store.scheduled) + len(store.pushed) == 200
    assert all(NOW_S <= at_s < NOW_S + 5 for at_s in scores)
    assert max(scores) - min(scores) > 3


def test_middleware_may_send_the_jobs_of_one_slice_to_several_queues(
    store: RecordingStore,
) -> None:
    def by_parity(payload: Payload, proceed: ClientCall) -> Payload | None:
        payload["queue"] = f"q{payload['args'][0] % 2}"
        return proceed(payload)

    a_client(store, by_parity).push_bulk(an_item(args=lists(5)))
    ((_, batches),) = store.writes
    assert {queue: len(raws) for queue, raws in batches.items()} == {"q0": 3, "q1": 2}


@pytest.mark.parametrize(
    ("item", "options", "says"),
    [
        (an_item(args=[1, 2]), {}, r"args\[0\]: each job of a bulk has a list of its own"),
        (an_item(args=["ab"]), {}, r"args\[0\]: each job"),
        (an_item(args="ab"), {}, "a bulk takes a list of argument lists"),
        (an_item(args={"a": 1}), {}, "a bulk takes a list of argument lists"),
        (an_item(args=5), {}, "a bulk takes a list of argument lists"),
        ({"class": "Echo"}, {}, "a bulk takes a list of argument lists"),
        (an_item(args=lists(2), jid="x"), {}, "2 jobs cannot share one"),
        (an_item(args=lists(2)), {"at": [1]}, "1 times for 2 jobs"),
        (an_item(args=iter(lists(2))), {"at": [1, 2, 3]}, "3 times for 2 jobs"),
        (an_item(args=lists(2)), {"at": 5, "spread_interval": 9}, "exclude each other"),
        (an_item(args=lists(2)), {"at": "soon"}, "is no time"),
        (an_item(args=lists(2)), {"spread_interval": 0}, "seconds above 0"),
        (an_item(args=lists(2)), {"batch_size": 0}, "at least 1"),
        (an_item(args=lists(2), queue="a b"), {}, "queue: "),
        (an_item(args=[[1], [(2,)]]), {}, r"Echo: args\[0\] is a tuple"),
    ],
)
def test_a_wrong_bulk_is_refused_before_anything_is_written(
    store: RecordingStore, item: dict[str, Any], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidJob, match=says):
        a_client(store).push_bulk(item, **options)
    assert store.writes == []


def test_a_refused_job_of_a_bulk_is_told_by_its_place(store: RecordingStore) -> None:
    with pytest.raises(InvalidArguments) as caught:
        a_client(store).push_bulk(an_item(args=[[1], [(2,)]]))
    assert caught.value.__notes__ == ["this is argument list 1 of the bulk, counted from 0"]


def test_a_single_job_of_a_bulk_may_have_a_given_jid(store: RecordingStore) -> None:
    assert a_client(store).push_bulk(an_item(args=[[1]], jid="x")) == ["x"]


def test_a_bulk_that_fails_midway_tells_how_much_was_pushed(store: RecordingStore) -> None:
    store.fails_after = 2
    with pytest.raises(RedisUnavailable) as caught:
        a_client(store).push_bulk(an_item(args=lists(2_500)))
    assert caught.value.__notes__ == ["2000 jobs of this bulk were pushed before"]


# the app that makes clients


def an_app(store: RecordingStore) -> App:
    return App(open_store=lambda redis: store)


def test_an_app_opens_one_store_however_many_threads_push_first() -> None:
    opened: list[RedisSettings] = []

    def open_store(redis: RedisSettings) -> RecordingStore:
        opened.append(redis)
        return RecordingStore()

    app = App(open_store=open_store)
    barrier = threading.Barrier(16)

    def push() -> None:
        barrier.wait()
        app.client.push(an_item())

    threads = [threading.Thread(target=push) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_the_store_is_opened_at_the_first_push_and_again_for_another_redis() -> None:
    opened: list[str] = []

    def open_store(redis: RedisSettings) -> RecordingStore:
        opened.append(redis.url)
        return RecordingStore()

    app = App(open_store=open_store)
    client = app.client
    Configuration(app).redis = "redis://one:1/0"
    assert opened == []
    client.push(an_item())
    client.push(an_item())
    Configuration(app).redis = {"url": "redis://two:2/0"}
    client.push(an_item())
    assert opened == ["redis://one:1/0", "redis://two:2/0"]


def test_what_is_configured_reaches_the_next_push(store: RecordingStore) -> None:
    app = an_app(store)
    app.client.push(an_item())
    config = Configuration(app)
    config.wire = 7
    config.strict = "off"
    config.default_job_options = {"queue": "low"}
    config.client_middleware.add(with_locale)
    app.client.push(an_item(args=[(1,)]))
    assert isinstance(store.pushed[1]["created_at"], float)
    assert (store.pushed[1]["queue"], store.pushed[1]["locale"]) == ("low", "de")


def test_times_are_written_as_the_settings_file_says_unless_told_otherwise(
    store: RecordingStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobd.yml").write_text("wire: 7")
    monkeypatch.chdir(tmp_path)
    app, told = an_app(store), an_app(store)
    Configuration(told).wire = 8
    for each in (app, told):
        each.client.push(an_item())
    floats = [isinstance(payload["created_at"], float) for payload in store.pushed]
    assert (floats, app.wire, told.wire) == ([True, False], 7, 8)


def test_redis_is_given_as_a_url_a_dict_or_settings() -> None:
    app = App()
    config = Configuration(app)
    config.redis = {"url": "redis://h:1/2", "size": 4, "network_timeout": 2.5}
    assert app.redis_settings == RedisSettings(url="redis://h:1/2", size=4, network_timeout=2.5)
    config.redis = "rediss://h"
    assert config.redis == RedisSettings(url="rediss://h")
    config.redis = RedisSettings(size=9)
    assert app.redis_settings.size == 9


def test_a_dict_without_a_url_keeps_the_server(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    app = App()
    config = Configuration(app)
    config.redis = {"size": 4}
    assert app.redis_settings == msgspec.structs.replace(client_redis(), size=4)
    assert app.redis_settings.embedded
    config.redis = "redis://h:1/2"
    config.redis = {"network_timeout": 1}
    assert app.redis_settings == RedisSettings(url="redis://h:1/2", network_timeout=1)


def test_without_settings_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://from-environment:1/3")
    assert App().redis_settings.url == "redis://from-environment:1/3"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ulr": "redis://h"}, 'no setting "ulr".*did you mean "url"'),
        (
            {"timeout": 1},
            'no setting "timeout": there are url, .*network_timeout',
        ),
        ({"size": 0}, "redis.size: a number of connections, not 0"),
        ({"size": "4"}, "redis.size: .*not '4'"),
        ({"size": True}, "redis.size"),
        ({"network_timeout": 0}, "redis.network_timeout: seconds above 0"),
        ({"network_timeout": float("nan")}, "redis.network_timeout"),
        ({"url": "localhost:6379"}, 'redis.url: "localhost:6379": a Redis URL begins with'),
        ({"url": None}, "redis.url: a URL"),
        (5, "a URL or a dict"),
    ],
)
def test_wrong_redis_settings_are_refused_by_name(given: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        Configuration(App()).redis = given


@pytest.mark.parametrize(
    "url", [":s3cret@host", "redis://u:s3cret#x@host:6379/0", "redis://u:12#s3cret@host:6379/0"]
)
@pytest.mark.parametrize("kind", [str, lambda url: RedisSettings(url=url)])
def test_a_url_that_cannot_be_read_is_refused_at_once_without_its_password(
    url: str, kind: Callable[[str], Any]
) -> None:
    with pytest.raises(ConfigError, match=r"\*\*\*@host.*write one such as redis://") as caught:
        Configuration(App()).redis = kind(url)
    assert "s3cret" not in str(caught.value)


def test_what_only_the_redis_library_finds_wrong_with_a_url_hides_its_password_too() -> None:
    url = "redis://u:s3cret@host:6379/0?socket_timeout=soon"
    with pytest.raises(ConfigError, match=r"u:\*\*\*@host.*write one such as") as caught:
        open_store(RedisSettings(url=url))
    assert caught.value.__suppress_context__
    assert "s3cret" not in str(caught.value)


def test_all_wrong_redis_settings_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Configuration(App()).redis = {"size": 0, "sise": 1}
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("wire", 9, ConfigError),
        ("strict", True, ConfigError),
        ("default_job_options", {"retry": -1}, InvalidJob),
        ("default_job_options", {"queues": "low"}, InvalidJob),
        ("reddis", {}, AttributeError),
    ],
)
def test_a_wrong_setting_is_refused(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        setattr(Configuration(App()), name, value)


def test_events_and_handlers_are_the_hooks_of_the_app() -> None:
    app, ran = App(), list[str]()
    config = Configuration(app)

    @config.on("startup")
    def boot() -> None:
        ran.append("boot")

    config.error_handlers.append(lambda error, context: ran.append("error"))
    config.death_handlers.append(lambda payload, error: ran.append("death"))
    app.hooks.fire("startup")
    app.hooks.report_error(ValueError(), {})
    app.hooks.report_death({}, ValueError())
    boot()
    assert ran == ["boot", "error", "death", "boot"]
    assert config.server_middleware is app.server_middleware
    with pytest.raises(ConfigError, match="no event"):
        config.on("boot")  # type: ignore[arg-type]


# with a real server


@pytest.mark.redis
def test_a_push_stands_in_redis_as_sidekiq_would_have_written_it(redis_url: str, raw: Any) -> None:
    app = App()
    app.redis = RedisSettings(url=redis_url)
    app.client.push(an_item(queue="low"))
    app.client.push(an_item(at=IN_2030))
    assert raw.smembers("queues") == {b"low"}
    assert raw.llen("queue:low") == 1
    assert raw.zrange("schedule", 0, -1, withscores=True)[0][1] == IN_2030


@pytest.mark.redis
def test_a_bulk_runs_in_the_order_in_which_it_was_given(redis_url: str, raw: Any) -> None:
    app = App()
    app.redis = RedisSettings(url=redis_url)
    app.client.push_bulk(an_item(args=lists(1_500)))
    assert raw.llen("queue:default") == 1_500
    assert b'"args":[0]' in raw.lindex("queue:default", -1)
    assert b'"args":[1499]' in raw.lindex("queue:default", 0)


@pytest.mark.redis
def test_fifty_threads_never_open_more_connections_than_the_size_says(
    redis_url: str, raw: Any
) -> None:
    app = App()
    app.redis = RedisSettings(url=redis_url, size=4)

    def push() -> None:
        for _ in range(20):
            app.client.push(an_item())

    before = raw.info("stats")["total_connections_received"]
    threads = [threading.Thread(target=push) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raw.llen("queue:default") == 1_000
    assert raw.info("stats")["total_connections_received"] - before <= 4


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    app = App()
    app.redis = RedisSettings(url="redis://:secret@127.0.0.1:1/0", network_timeout=0.5)
    with pytest.raises(RedisUnavailable) as caught:
        app.client.push(an_item(jid="7"))
    assert "127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.jid == "7"


def test_a_private_store_that_does_not_run_is_named_with_what_starts_it(tmp_path: Path) -> None:
    app = App()
    app.redis = client_redis({}, tmp_path)
    with pytest.raises(RedisUnavailable) as caught:
        app.client.push(an_item())
    message = str(caught.value)
    assert f"cannot use Redis at unix://{tmp_path}/.jobd/redis.sock?db=0: " in message
    assert "start jobd in that directory, or name another Redis (redis.url or REDIS_URL)" in message


def test_a_push_that_fails_shows_one_traceback_and_not_those_of_the_library() -> None:
    app = App()
    app.redis = RedisSettings(url="redis://127.0.0.1:1/0", network_timeout=0.5)
    with pytest.raises(RedisUnavailable) as caught:
        app.client.push(an_item())
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 1
    assert "site-packages" not in shown
    assert "Connection refused" in shown
