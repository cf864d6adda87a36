"""The shipped file and the manual say what the code does."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from jobd import config as jobd_config
from jobd.config import (
    SETTINGS,
    Flags,
    load,
)
from jobd.config.settings import WITHOUT_EFFECT
from jobd.errors import ConfigError
from tests.config.settled import ROOT, URL, Load, queues


def shipped() -> str:
    return (ROOT / "etc" / "jobd.yml").read_text()


def settings_of_shipped() -> str:
    """The file with the # of its settings removed and without its sections."""
    commented = re.findall(r"^#(\S.*)$", shipped(), re.MULTILINE)
    return "\n".join(commented)


def default_of(key: str, settings: Mapping[str, Any]) -> object:
    group, _, member = key.partition(".")
    return settings[group][member] if member else settings[group]


def plain(value: object) -> object:
    """A default as YAML writes it."""
    if isinstance(value, tuple):
        names = tuple(getattr(item, "name", item) for item in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - a default of any type
        return list(names)
    return value


def manual(language: str, page: str = "configuration.md") -> list[str]:
    """The blocks of a page in a language; what is only shown is in none."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for name, block in blocks if name == language]


def test_the_files_of_the_manual_are_read_without_complaint(settle: Load) -> None:
    queues, capsules, redis = manual("yaml")
    for text in (queues, capsules, *redis.splitlines()):  # of Redis it shows three ways
        assert settle(text)


def test_the_settings_of_the_page_on_threads_mean_what_it_says(settle: Load) -> None:
    (text,) = manual("yaml", "threads.md")
    found = {each.name: (each.concurrency, each.threads) for each in settle(text).capsules}
    assert found == {"default": (2, 10), "mails": (1, 25), "reports": (2, 1)}
    assert [each.most_jobs() for each in settle(text).capsules] == [20, 25, 2]


def test_the_settings_of_the_page_on_async_jobs_mean_what_it_says(settle: Load) -> None:
    (text,) = manual("yaml", "async.md")
    found = {each.name: each.async_concurrency for each in settle(text).capsules}
    assert found == {"default": 500, "hooks": 1000}
    hooks = settle(text).capsules[1]
    assert (hooks.most_jobs(), hooks.most_jobs(has_async_jobs=True)) == (1, 1001)


def test_mistakes_are_told_as_the_manual_shows(tmp_path: Path) -> None:
    (shown,) = manual("")
    lines = [""] * 8 + ['queues: ["mail box"]']
    lines[2] = "concurency: 3"
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "jobd.yml").write_text("\n".join(lines))
    with pytest.raises(ConfigError) as refused:
        load(Flags(), {}, tmp_path)
    assert list(refused.value.problems) == shown.splitlines()


def test_the_shipped_file_holds_every_setting_with_its_default() -> None:
    settings = yaml.safe_load(settings_of_shipped())
    assert set(settings) == {key.partition(".")[0] for key in SETTINGS}
    for key, setting in SETTINGS.items():
        assert default_of(key, settings) == plain(setting.default) or key == "capsules"
    assert settings["capsules"] == {}


def test_the_defaults_of_the_shipped_file_change_nothing(settle: Load) -> None:
    config = settle(settings_of_shipped())
    assert replace(config, source=None) == replace(settle("timeout: 25"), source=None)


def test_the_shipped_file_explains_every_setting_with_its_unit() -> None:
    prose = " ".join(re.findall(r"^# (.*)$", shipped(), re.MULTILINE))
    for key, setting in SETTINGS.items():
        assert f"{key} ({setting.unit}): {setting.help}" in prose


def test_the_shipped_file_runs_the_example_in_development() -> None:
    config = load(Flags(config="etc/jobd.yml"), {}, ROOT)
    assert config.redis.embedded
    assert config.require == ("examples.daily_mood.jobs",)
    assert config.capsules[0].queues == queues(critical=6, default=3, mailers=2, low=1)
    assert config.notes == ()
    production = load(Flags(environment="production"), {"REDIS_URL": URL}, ROOT)
    assert (production.concurrency, production.source) == (8, ROOT / "etc" / "jobd.yml")


def rows() -> Iterator[list[str]]:
    manual = (ROOT / "docs" / "configuration.md").read_text()
    table = manual.partition("## Settings")[2].partition("\n## ")[0]
    for line in table.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_the_manual_lists_every_setting_as_it_is_declared() -> None:
    found = {row[0].strip("`"): row for row in rows()}
    assert list(found) == list(SETTINGS)
    settings = yaml.safe_load(settings_of_shipped())
    for key, setting in SETTINGS.items():
        assert found[key][2:] == [setting.unit, setting.help]
        assert yaml.safe_load(found[key][1].strip("`")) == default_of(key, settings)


def test_the_manual_names_what_has_no_effect() -> None:
    manual = (ROOT / "docs" / "configuration.md").read_text()
    assert ", ".join(f"`{key}`" for key in WITHOUT_EFFECT) in manual


def test_every_setting_of_the_table_is_used() -> None:
    source = Path(jobd_config.__file__).read_text()
    declared = Path(jobd_config.__file__).with_name("settings.py").read_text()
    names = re.findall(r"^([A-Z_]+): Final(?:\[.*\])? = Setting\(", declared, re.MULTILINE)
    assert len(names) == len(SETTINGS)
    assert not {name for name in names if f"declared.{name}" not in source}
