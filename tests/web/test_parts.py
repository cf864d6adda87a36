"""The parts of the dashboard that need no Redis: formats, masks, words, texts, charts."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

import jobd.web
from jobd.api import Mark, SortedEntry
from jobd.api.metrics import Point
from jobd.metrics import Counts
from jobd.web import Settings, formats
from jobd.web.catalogue import Catalogue
from jobd.web.charts import Line, line_chart
from jobd.web.english import ENGLISH
from jobd.web.figures import bar, heat_map, sparkline
from jobd.web.grouping import fingerprint
from jobd.web.inert import cut, inert
from jobd.web.labels import Tick, deploys, shares
from jobd.web.memory import Memory
from jobd.web.pages.job import timeline
from jobd.web.python_call import python_call
from jobd.web.redaction import MASK, Masks, preview
from jobd.web.samples import Samples
from jobd.web.search import Problem, Search, parse, word
from tests.web.stock import a_job

PACKAGE = Path(jobd.web.__file__).parent
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


# Formats


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0042, "4 ms"),
        (1.26, "1.3 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3725, "1 h 2 min"),
        (90_000, "1 d 1 h"),
        (1e9, "11574 d 1 h"),
    ],
)
def test_a_duration_has_two_units_at_the_most(seconds: float, text: str) -> None:
    assert formats.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "now"), (-90, "2 min ago"), (5, "in 5 s"), (-86_400 * 3, "3 d ago"), (3590, "in 1 h")],
)
def test_a_moment_is_told_from_now(seconds: float, text: str) -> None:
    assert formats.relative(NOW + timedelta(seconds=seconds), NOW) == text


def test_numbers_stay_short_where_there_is_no_room() -> None:
    shown = [formats.short_count(n) for n in (0, 999, 9_999, 12_345, 1_000_000, 2_345_678_901)]
    assert shown == ["0", "999", "9,999", "12.3k", "1M", "2.3G"]
    assert [formats.size(n) for n in (0, 999, 1_400, 138e6)] == ["0 B", "999 B", "1.4 KB", "138 MB"]


def test_a_share_that_is_not_nothing_is_never_shown_as_0() -> None:
    assert formats.percent(1, 100_000) == "<0.01 %"
    assert formats.percent(0, 0) == "0 %"
    assert formats.percent(1, 8) == "12 %"


# Text of others


def test_letters_of_people_stay_and_invisible_ones_are_shown() -> None:
    people = "Grüße 你好 שלום مرحبا हिन्दी 👩\u200d🚀 ok\ttab\nline"
    assert inert(people) == people
    assert inert("a\u202eb\u200bc\x00d\x1b[31m\ufeff") == (
        "a⟨U+202E⟩b⟨U+200B⟩c⟨U+0000⟩d⟨U+001B⟩[31m⟨U+FEFF⟩"
    )
    assert inert("\U000e0041") == "⟨U+E0041⟩"


def test_a_long_text_says_how_much_was_cut() -> None:
    assert cut("abcdef", 3) == "abc… (+3)"
    assert cut("abc", 3) == "abc"


# Masks


def masked(args: list[Any], **settings: Any) -> list[Any]:
    return Masks(Settings(**settings)).args("AnyJob", args).args


def test_secrets_are_masked_by_the_name_of_their_field_at_any_depth() -> None:
    args = [{"user": "ada", "X-Auth-Token": 1, "in": [{"DB_PASSWORD": {"a": 1}}]}, "plain"]
    assert masked(args) == [
        {"user": "ada", "X-Auth-Token": MASK, "in": [{"DB_PASSWORD": MASK}]},
        "plain",
    ]
    assert masked([{"iban": 1, "password": 2}], redact=("iban",)) == [{"iban": MASK, "password": 2}]
    assert masked([{"password": 2}], redact=()) == [{"password": 2}]


def test_what_is_too_deep_to_look_into_is_not_shown() -> None:
    deep: list[Any] = ["secret"]
    for _ in range(200):
        deep = [deep]
    assert "secret" not in json.dumps(masked(deep))


@pytest.mark.parametrize(
    "value", ["x" * 5_000_000, ["y" * 10] * 500_000, {str(n): n for n in range(300_000)}]
)
def test_a_preview_is_cut_before_it_is_encoded(value: Any) -> None:
    assert len(preview(value, 200)) <= 201


def test_a_preview_of_what_fits_is_its_json() -> None:
    assert preview([1, {"a": "ä"}], 100) == '[1, {"a": "ä"}]'


# Searching


def read(text: str) -> Search:
    return parse(text, Masks(Settings()))


def test_a_search_line_is_read_word_by_word() -> None:
    found = read('class:ChargeCard error:"timed out" queue:low tag:eu plain "two words"').filter
    assert (found.class_name, found.error) == ("ChargeCard", "timed out")
    assert (found.queue, found.tag, found.words) == ("low", "eu", ("plain", "two words"))
    assert read("  ").is_empty
    assert not read("x").is_empty


@pytest.mark.parametrize("text", ["https://example.com", "user:7"])
def test_a_word_with_a_strange_key_is_plain_text(text: str) -> None:
    assert read(text).filter.words == (text,)


def test_dates_are_in_utc_unless_they_say_otherwise() -> None:
    found = read("after:2026-11-22 before:2026-11-22T13:00+01:00").filter
    assert found.after == datetime(2026, 11, 22, tzinfo=UTC)
    assert found.before == NOW
    assert read("after:soon").problem == Problem("date", "soon")


@pytest.mark.parametrize("key", ["class", "jid", "queue", "tag", "error", "after", "before"])
def test_a_word_that_is_given_twice_is_said_to_be(key: str) -> None:
    search = read(f'{key}:2026-11-22 x {key}:"2026-11-23"')
    assert search.problem == Problem("twice", f'{key}:"2026-11-23"')
    assert read(f"{key}:2026-11-22 x").problem is None


@pytest.mark.parametrize("value", ["plain", "two words", "", 'a"b', "ä:ö"])
def test_a_word_that_is_made_can_be_read_again(value: str) -> None:
    assert read(word("class", value)).filter.class_name == value.replace('"', "")


def test_messages_that_differ_in_numbers_are_one_error() -> None:
    one = fingerprint("Order 17 at 0x7f3a: 'Ada' <User 3> deadbeef01 failed")
    assert one == fingerprint("order 99999 at 0x1: 'Bob, jr' <User 4> 00c0ffee99 failed")
    assert one != fingerprint("order 17 was lost")


# Python


class Told:
    """As much of a record as is asked for."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self.fields = payload
        self.class_name = payload["class"]
        self.display_class = payload.get("shown", payload["class"])

    def __getitem__(self, name: str) -> Any:
        return self.fields.get(name)


@pytest.mark.parametrize(
    ("job", "line"),
    [
        (a_job("Echo", retry=True), "Echo.perform_async(1, 'a')"),
        (
            a_job("Echo", queue="low", retry=3),
            "Echo.set(queue='low', retry=3).perform_async(1, 'a')",
        ),
        (
            a_job("My::Job", retry=True),
            "jobd.push({'class': 'My::Job', 'args': [1, 'a'], 'queue': 'default', 'retry': True})",
        ),
        (
            a_job("class", retry=0),
            "jobd.push({'class': 'class', 'args': [1, 'a'], 'queue': 'default', 'retry': 0})",
        ),
        (
            a_job("exec(1)", retry=0),
            "jobd.push({'class': 'exec(1)', 'args': [1, 'a'], 'queue': 'default', 'retry': 0})",
        ),
    ],
)
def test_a_job_is_a_line_of_python_that_compiles(job: dict[str, Any], line: str) -> None:
    told: Any = Told(job)
    assert python_call(told, [1, "a"]) == line
    compile(line, "shell", "eval")


# Texts


def templates() -> str:
    return "".join(path.read_text() for path in sorted((PACKAGE / "templates").glob("*.html")))


def test_every_text_that_a_template_asks_for_is_in_the_catalogue() -> None:
    asked = set(re.findall(r'\bt\("([a-z0-9_.]+)"[,)]', templates()))
    assert len(asked) > 100
    assert asked - set(ENGLISH) == set()


def test_every_text_is_asked_for_by_somebody() -> None:
    sources = templates() + "".join(
        path.read_text() for path in PACKAGE.rglob("*.py") if path.name != "english.py"
    )
    acts = ("act.", "ask.", "done.")
    built = (*acts, "event.", "metrics.by.", "page.", "place.", "set.", "state.", "theme.")
    hints = {key for key in ENGLISH if key.endswith(".hint")}
    plain = {key for key in ENGLISH if not key.startswith(built)} - hints
    assert {key for key in plain if f'"{key}"' not in sources} == {"period.days", "period.hours"}
    assert {key.removesuffix(".hint") for key in hints} <= set(ENGLISH)


def test_templates_hold_no_words_of_their_own() -> None:
    text = re.sub(r"\{[{%#].*?[%#}]\}", " ", templates(), flags=re.DOTALL)
    text = re.sub(r"<[^>]*>", " ", text)
    words = set(re.findall(r"[A-Za-z]{2,}", text))
    # Names, keys and units.
    assert (
        words - {"jobd", "CSV", "Ctrl", "JSON", "JSONL", "PID", "jid", "Enter", "ms", "nbsp"}
        == set()
    )


def test_a_translation_replaces_what_it_has() -> None:
    texts = Catalogue({"queue": "Warteschlange", "jobs": "ein Job||{n} Jobs"})
    assert (texts("queue"), texts("error")) == ("Warteschlange", "Error")
    assert (texts("jobs", n=1), texts("jobs", n=5)) == ("ein Job", "5 Jobs")


def test_every_english_text_can_be_filled_in() -> None:
    names = (
        "name policy page pages span share retries dead reason total busy concurrency memory "
        "processed failed ms jobs latency word seen size jid search cursor who run "
        "revision tag"
    )
    values = dict.fromkeys(names.split(), "x")
    texts = Catalogue({})
    numbers = {"n": 3, "page": 1, "pages": 2}
    assert all(texts(key, **{**values, **numbers}) for key in ENGLISH)


# Charts


def svg(text: str) -> ET.Element:
    return ET.fromstring(text)


@pytest.mark.parametrize("values", [[], [0], [0, 0], [1, None, 3], [1e9, 2.5], [0.001] * 60])
def test_a_chart_has_neither_script_nor_style_inside(values: Sequence[float | None]) -> None:
    ticks = [Tick(str(n)) for n in range(len(values))]
    chart = svg(line_chart("a <b>", ticks, [Line("processed", "p", tuple(values))]))
    names = {element.tag.rpartition("}")[2] for element in chart.iter()}
    assert names.isdisjoint({"script", "style", "a", "image", "foreignObject"})
    assert [element for element in chart.iter() if "style" in element.attrib] == []
    assert chart.get("aria-label") == "a <b>"


def named(chart: ET.Element, name: str) -> list[ET.Element]:
    return [each for each in chart.iter() if name in each.get("class", "").split()]


def test_a_deploy_is_a_line_in_a_chart_with_its_name() -> None:
    ticks = [Tick(f"{n:02}:00", f"2026-11-22T{n:02}:00:00Z") for n in range(20)]
    lines = [Line("processed", "p", tuple(range(20)))]
    marks = [(2, "v1 <b>"), (3, "v2"), (19, "v3 \u202e" + "x" * 300), (99, "never")]
    chart = svg(line_chart("t", ticks, lines, marks=marks))
    drawn = named(chart, "deploy")
    assert [len(named(each, "line")) for each in drawn] == [1, 1, 1]
    titles = [each.findtext("{*}title") or "" for each in drawn]
    assert titles[:2] == ["v1 <b>", "v2"]
    assert titles[2].startswith("v3 ⟨U+202E⟩")
    assert len(titles[2]) < 220
    # The second would stand on the first.
    names = [[text.text for text in named(each, "name")] for each in drawn]
    assert [len(each) for each in names] == [1, 0, 1]
    times = [each.get("data-time") for each in chart.iter() if each.get("data-time")]
    assert times[0] == "2026-11-22T00:00:00Z"
    assert len(times) == 10


def test_deploys_are_where_they_were() -> None:
    steps = [Point(NOW + timedelta(minutes=n), Counts(0, 0, 0, ())) for n in range(3)]
    marks = [Mark(NOW + timedelta(minutes=n), str(n)) for n in (-1, 0, 1, 9)]
    assert deploys(marks, steps) == [(0, "0"), (1, "1"), (2, "9")]
    assert shares(marks, NOW, NOW + timedelta(minutes=4)) == [0, 0.25]
    line = svg(sparkline([1, 2], label="s", width=100, marks=[0, 0.25]))
    assert [each.get("d") for each in named(line, "deploy")] == ["M0.0 0v20", "M25.0 0v20"]


def test_small_charts_are_well_formed_and_named() -> None:
    for text in (
        sparkline([], label='"><x'),
        sparkline([1, 5, 2], label="s"),
        bar(3, 0, label="b"),
        heat_map([[1, 0], [9, 4]], row_labels=["a", "b"], ticks=[Tick("x"), Tick("y")], title="t"),
    ):
        assert svg(text).get("role") == "img"


# What is remembered


def test_a_queues_trend_needs_five_seconds_at_least() -> None:
    samples = Samples()
    samples.add(0.0, 0, 0, {"low": 100})
    assert samples.trends(["low"])["low"].per_minute is None
    samples.add(0.2, 0, 0, {"low": 999})  # too soon: not kept
    samples.add(30.0, 0, 0, {"low": 70})
    trend = samples.trends(["low", "new"])
    assert (trend["low"].points, trend["low"].per_minute) == ((100, 70), -60.0)
    assert trend["new"].points == ()


def test_old_samples_are_forgotten() -> None:
    samples = Samples()
    for second in range(2000):
        samples.add(float(second), second, 0, {})
    assert len(samples.all()) <= 601


def test_a_job_never_died_before_it_failed() -> None:
    failed_ms = 1_700_000_000_900
    job = {**a_job(failed_at=failed_ms, error_class="E"), "created_at": 1, "enqueued_at": 2}
    entry = SortedEntry(json.dumps(job).encode(), 1_700_000_000.0, "dead")
    *_, failed, died = timeline(entry, [])
    assert (failed.kind, died.kind, died.at) == ("failed", "died", failed.at)


def test_what_is_remembered_ages() -> None:
    memory = Memory()
    asked: list[float] = []

    def make(now_s: float) -> list[float]:
        return memory.recall("key", now_s, 10.0, lambda: asked.append(now_s) or list(asked))

    assert (make(0.0), make(9.9), make(10.0)) == ([0.0], [0.0], [0.0, 10.0])
