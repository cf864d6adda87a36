"""One mapping of settings, such as the top level of the file or the section of an environment.

It sorts what it finds into settings, sections, keys of Sidekiq without effect, and mistakes.
Which sheet wins over which is decided in ``jobd.config``.
"""

from collections.abc import Mapping
from typing import Any, Final

from jobd.config.checks import unknown_key
from jobd.config.located import Entry, Value
from jobd.config.settings import (
    ASYNC_CONCURRENCY,
    CAPSULES,
    CONCURRENCY,
    QUEUES,
    REFUSED,
    SETTINGS,
    THREADS,
    WITHOUT_EFFECT,
    Setting,
)
from jobd.errors import ConfigError

_GROUPS: Final = frozenset(key.partition(".")[0] for key in SETTINGS if "." in key)
TOP_KEYS: Final = frozenset(key.partition(".")[0] for key in SETTINGS)
# Sections that may be there without a single line in them.
_USUAL_SECTIONS: Final = frozenset({"development", "test", "staging", "production"})


class Sheet:
    """What one source sets.

    Attributes:
        values: by the key of the setting; what was not set is absent.
        refused: keys whose value was wrong.
        notes: sentences for the boot log.
        problems: shared with whoever collects them.
    """

    def __init__(self, problems: list[str]) -> None:
        self.values: dict[str, object] = {}
        self.refused: set[str] = set()
        self.notes: list[str] = []
        self.problems = problems

    def put(self, setting: Setting[Any], value: Value, *, name: str = "") -> None:
        """Check and keep a value.

        Args:
            setting: what it is for.
            value: what was written.
            name: how messages call it; empty where ``value.where`` says it already.
        """
        if value.content is None and setting.default is None:
            self.values[setting.key] = None
            return
        try:
            self.values[setting.key] = setting.check(name, value)
        except ConfigError as err:
            self.refused.add(setting.key)
            self.problems += err.problems

    def read(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        """Take in the settings of a mapping.

        Returns:
            The entries that are none: sections of environments, or mistakes.
        """
        others: dict[str, Entry] = {}
        for key, entry in entries.items():
            if key in _GROUPS:
                self._read_group(key, entry)
            elif key == CAPSULES.key:
                self._read_capsules(entry, entries)
            elif key in SETTINGS:
                self._read_setting(key, entry)
            elif key in WITHOUT_EFFECT:
                advice = f"; {WITHOUT_EFFECT[key]}" if WITHOUT_EFFECT[key] else ""
                self.notes.append(f"{entry.where}: {key} has no effect in jobd{advice}")
            elif key in REFUSED:
                self.problems.append(f"{entry.where}: {key}: {REFUSED[key]}")
            else:
                others[key] = entry
        return others

    def refuse_unknown(self, entries: Mapping[str, Entry]) -> None:
        """Call each of these keys unknown."""
        self.problems += [unknown_key(entry.where, key, TOP_KEYS) for key, entry in entries.items()]

    def _read_setting(self, key: str, entry: Entry) -> None:
        setting = SETTINGS[key]
        if entry.value.content is None and setting.default is not None:
            self._note_empty(key, entry)
        else:
            self.put(setting, entry.at_key(), name=key)

    def _read_group(self, group: str, entry: Entry) -> None:
        """``redis``, ``log`` and ``worker``: settings in a mapping of their own."""
        content = entry.value.content
        members = {key.partition(".")[2] for key in SETTINGS if key.startswith(f"{group}.")}
        if content is None:
            self._note_empty(group, entry)
        elif not isinstance(content, Mapping) and group == "redis":
            self.put(SETTINGS["redis.url"], entry.at_key(), name=group)
        elif not isinstance(content, Mapping):
            some = ", ".join(sorted(members))
            sentence = f"must be a mapping with any of {some}, not {entry.value.shown()}"
            self.problems.append(f"{entry.where}: {group}: {sentence}")
        else:
            for key, member in content.items():
                if key in members:
                    self._read_setting(f"{group}.{key}", member)
                else:
                    self.problems.append(unknown_key(member.where, key, members))

    def _read_capsules(self, entry: Entry, siblings: Mapping[str, Entry]) -> None:
        """``capsules.default`` is another way to write the mapping's own settings of them."""
        content = entry.value.content
        if isinstance(content, Mapping) and "default" in content:
            self._read_default_capsule(content["default"], siblings)
            content = {name: capsule for name, capsule in content.items() if name != "default"}
        value = Value(entry.value.where, content, entry.value.text)
        self._read_setting(CAPSULES.key, Entry(entry.where, value))

    def _read_default_capsule(self, entry: Entry, siblings: Mapping[str, Entry]) -> None:
        content = entry.value.content
        if not isinstance(content, Mapping):
            sentence = f"must be a mapping of concurrency and queues, not {entry.value.shown()}"
            self.problems.append(f"{entry.where}: capsules.default: {sentence}")
            return
        known: Mapping[str, Setting[Any]] = {
            setting.key: setting for setting in (CONCURRENCY, QUEUES, THREADS, ASYNC_CONCURRENCY)
        }
        for key, member in content.items():
            if key not in known:
                self.problems.append(unknown_key(member.where, key, known))
            elif key in siblings:
                sentence = (
                    f"given twice, as {key} on line {siblings[key].where.rpartition(':')[2]} too"
                )
                self.problems.append(f"{member.where}: capsules.default.{key}: {sentence}")
            else:
                self.put(known[key], member.at_key(), name=f"capsules.default.{key}")

    def _note_empty(self, key: str, entry: Entry) -> None:
        self.notes.append(f"{entry.where}: {key} has no value and counts as not set")


class FileSheets:
    """The file: its top level, and the section of the current environment, both as sheets."""

    def __init__(self, environment: str, problems: list[str]) -> None:
        self.top = Sheet(problems)
        self.section = Sheet(problems)
        self._environment = environment
        self._problems = problems

    def read(self, entries: Mapping[str, Entry], *, shown: str) -> None:
        """Take in a whole file; the sections of other environments are checked too.

        Args:
            entries: its top level.
            shown: how messages call the file.
        """
        others = self.top.read(entries)
        sections = {key: entry for key, entry in others.items() if self._is_section(key, entry)}
        self.top.refuse_unknown({k: entry for k, entry in others.items() if k not in sections})
        for name, entry in sections.items():
            is_current = name == self._environment
            sheet = self.section if is_current else Sheet(self._problems)
            content = entry.value.content
            if isinstance(content, Mapping):
                sheet.refuse_unknown(sheet.read(content))
        if sections and self._environment not in sections:
            names = ", ".join(sorted(sections))
            self.top.notes.append(
                f"{shown}: has no section for the environment {self._environment} (it has {names})"
            )

    def _is_section(self, key: str, entry: Entry) -> bool:
        """Whether a key names an environment, and not a setting that was misspelt.

        Any name will do for one, so a mapping in which nothing is known is taken for a mistake.
        """
        content = entry.value.content
        if key == self._environment or (not content and key in _USUAL_SECTIONS):
            return content is None or isinstance(content, Mapping)
        return isinstance(content, Mapping) and any(
            known in content for known in (*TOP_KEYS, *WITHOUT_EFFECT)
        )
