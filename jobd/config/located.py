"""A YAML file as values that know their file and line.

Read by PyYAML's safe loader as far as its nodes and no further: scalars stay the text that was
written, so that a queue called ``on`` or ``010`` keeps its name, and no tag ever makes an object.
What the values mean is not known here; ``settings`` says so.

Source: https://yaml.org/type/merge.html for ``<<``; Sidekiq's symbol keys and symbol values
(``:concurrency:``, ``[:default, 2]``) from Ruby's YAML.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
import yaml

Content: TypeAlias = "str | bool | tuple[Value, ...] | Mapping[str, Entry] | None"

_BOOLEANS: Final = {
    "yes": True,
    "true": True,
    "on": True,
    "no": False,
    "false": False,
    "off": False,
}
_SYMBOL: Final = re.compile(r"[\s\[{,]:[A-Za-z_]")
_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = tuple(_TAG + kind for kind in ("str", "int", "float", "timestamp", "value"))
_SYMBOL_TAGS: Final = ("!ruby/symbol", "!ruby/sym")


class Value(msgspec.Struct, frozen=True):
    """Something that was set, and where.

    Attributes:
        where: ``etc/jobd.yml:3`` for a line of a file, else the flag or the variable.
        content: a scalar as text, a boolean, None, a list as a tuple, or a mapping.
        text: the scalar as it was written; booleans have it too.
    """

    where: str
    content: Content
    text: str = ""

    def shown(self) -> str:
        """How an error message names the value; never longer than a few words."""
        if isinstance(self.content, Mapping):
            return "a mapping"
        if isinstance(self.content, tuple):
            return "a list"
        if self.content is None:
            return "nothing"
        return f'"{self.text}"' if len(self.text) <= 60 else f'"{self.text[:60]}..."'


class Entry(NamedTuple):
    """A value of a mapping and where its key stands (its value may be an alias from elsewhere)."""

    where: str
    value: Value

    def at_key(self) -> Value:
        """The value, for messages about it that should point at the key."""
        return Value(self.where, self.value.content, self.value.text)


def given(where: str, text: str) -> Value:
    """A value that comes from a flag or a variable of the environment."""
    return Value(where, text, text)


def read_yaml(file: Path, *, shown: str, problems: list[str]) -> Mapping[str, Entry] | None:
    """Read the mapping that a YAML file holds.

    Args:
        file: where it is.
        shown: how to call it in messages.
        problems: gets a sentence for each thing that is wrong; reading goes on where it can.

    Returns:
        The entries by key, without the colon of symbol keys; None if nothing can be read.
    """
    text = _text(file, shown, problems)
    if text is None or not _is_free_of_erb(text, shown, problems):
        return None
    try:
        root = yaml.compose(text, Loader=_SymbolLoader)
        if isinstance(root, yaml.MappingNode):
            return _Nodes(shown, problems).entries(root)
        is_empty = root is None or root.tag == f"{_TAG}null"
        kind = "the file holds no settings" if is_empty else "the file is no mapping"
        problems.append(f"{shown}:1: {kind}; write lines such as `concurrency: 4`")
    except yaml.MarkedYAMLError as err:
        problems.append(_syntax_problem(err, shown))
    except yaml.reader.ReaderError as err:
        line = text.count("\n", 0, int(err.position)) + 1
        problems.append(f"{shown}:{line}: YAML allows no control characters; remove the one here")
    except RecursionError:
        problems.append(f"{shown}:1: nested too deeply to be settings")
    return None


def _text(file: Path, shown: str, problems: list[str]) -> str | None:
    try:
        octets = file.read_bytes()
        return octets.decode("utf-8-sig")
    except OSError as err:
        reason = err.strerror or str(err)
        problems.append(f"{shown}: cannot be read: {reason}; name a YAML file with -C")
    except UnicodeDecodeError as err:
        line = err.object.count(b"\n", 0, err.start) + 1
        problems.append(f"{shown}:{line}: not UTF-8; save the file in that encoding")
    return None


def _is_free_of_erb(text: str, shown: str, problems: list[str]) -> bool:
    found = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if "<%" in line.partition(" #")[0] and not line.lstrip().startswith("#")
    ]
    problems += [
        f"{shown}:{number}: ERB tags (<% %>) are Ruby and not run by jobd; write the value itself, "
        f"or render the file once: erb {shown} > etc/jobd.yml (REDIS_URL and JOBD_ENV are read "
        "from the environment)"
        for number in found
    ]
    return not found


def _syntax_problem(err: yaml.MarkedYAMLError, shown: str) -> str:
    mark = err.problem_mark or err.context_mark
    where = f"{shown}:{mark.line + 1}" if mark else shown
    problem = err.problem or "it cannot be parsed"
    if "'\\t'" in problem:
        return f"{where}: not YAML: a tab cannot indent; use spaces"
    context = f"{err.context}, " if err.context else ""
    return f"{where}: not YAML: {context}{problem}"


class _SymbolLoader(yaml.SafeLoader):
    """Takes ``:name`` for text inside [] and {} too, where PyYAML sees a colon of a mapping."""

    def check_value(self) -> bool:
        return not self._is_at_symbol() and bool(super().check_value())

    def check_plain(self) -> bool:
        return self._is_at_symbol() or bool(super().check_plain())

    def _is_at_symbol(self) -> bool:
        # `{"a":b}` is JSON: only a colon after a blank or an opening can begin a symbol.
        text, at = str(self.buffer), self.pointer
        return bool(self.flow_level) and _SYMBOL.match(text, at - 1) is not None


class _Nodes:
    """Turns nodes into values, each node once, so that aliases cannot multiply."""

    def __init__(self, shown: str, problems: list[str]) -> None:
        self._shown = shown
        self._problems = problems
        self._values: dict[int, Value] = {}
        self._mappings: dict[int, Mapping[str, Entry]] = {}
        self._open: set[int] = set()

    def value(self, node: yaml.Node) -> Value:
        if id(node) not in self._values:
            self._values[id(node)] = Value(self._where(node), *self._content(node))
        return self._values[id(node)]

    def entries(self, node: yaml.MappingNode) -> Mapping[str, Entry]:
        """The entries of a mapping with its merges; what it says itself wins over them."""
        if id(node) not in self._mappings:
            own: dict[str, Entry] = {}
            merged: dict[str, Entry] = {}
            with_itself = self._is_within_itself(node)
            self._open.add(id(node))
            for key, value in [] if with_itself else self._pairs(node):
                if key.tag == f"{_TAG}merge":
                    merged = {**self._merged(value), **merged}
                else:
                    self._put(own, key, value)
            self._open.discard(id(node))
            self._mappings[id(node)] = {**merged, **own}
        return self._mappings[id(node)]

    def _content(self, node: yaml.Node) -> tuple[Content, str]:
        if isinstance(node, yaml.MappingNode):
            return self.entries(node), ""
        if isinstance(node, yaml.SequenceNode):
            return self._items(node), ""
        return self._scalar(node)

    def _items(self, node: yaml.SequenceNode) -> tuple[Value, ...]:
        if self._is_within_itself(node):
            return ()
        self._open.add(id(node))
        items: list[yaml.Node] = node.value
        values = tuple(self.value(item) for item in items)
        self._open.discard(id(node))
        return values

    def _scalar(self, node: yaml.Node) -> tuple[Content, str]:
        text = str(node.value)
        if node.tag == f"{_TAG}null":
            return None, text
        if node.tag == f"{_TAG}bool" and text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()], text
        if node.tag not in _TEXT_TAGS and node.tag not in _SYMBOL_TAGS:
            tag = node.tag.replace(_TAG, "!!")
            self._refuse(node, f"the tag {tag} is not accepted; write a plain value")
        if isinstance(node, yaml.ScalarNode) and node.style is None:
            text = _without_colon(text)
        return text, text

    def _put(self, entries: dict[str, Entry], key: yaml.Node, value: yaml.Node) -> None:
        if not isinstance(key, yaml.ScalarNode):
            self._refuse(key, "a key must be a name, not a list or a mapping")
            return
        name = _without_colon(str(key.value))
        if name in entries:
            line = entries[name].where.rpartition(":")[2]
            self._refuse(key, f"{name}: given twice in one mapping, first on line {line}")
            return
        entries[name] = Entry(self._where(key), self.value(value))

    def _merged(self, node: yaml.Node) -> dict[str, Entry]:
        """What ``<<: *a`` or ``<<: [*a, *b]`` adds; of several the first wins."""
        several = isinstance(node, yaml.SequenceNode)
        sources: list[yaml.Node] = node.value if several else [node]
        merged: dict[str, Entry] = {}
        for source in sources:
            if isinstance(source, yaml.MappingNode):
                merged = {**self.entries(source), **merged}
            else:
                self._refuse(source, "<< merges mappings only; name one by its alias")
        return merged

    def _is_within_itself(self, node: yaml.Node) -> bool:
        if id(node) in self._open:
            self._refuse(node, "an alias that holds itself; write the value out")
        return id(node) in self._open

    def _refuse(self, node: yaml.Node, sentence: str) -> None:
        self._problems.append(f"{self._where(node)}: {sentence}")

    def _where(self, node: yaml.Node) -> str:
        return f"{self._shown}:{node.start_mark.line + 1}"

    @staticmethod
    def _pairs(node: yaml.MappingNode) -> list[tuple[yaml.Node, yaml.Node]]:
        pairs: list[tuple[yaml.Node, yaml.Node]] = node.value
        return pairs


def _without_colon(text: str) -> str:
    """Ruby's ``:name`` and ``:"name"`` as the name."""
    if len(text) < 2 or text[0] != ":":
        return text
    return text[1:].strip('"')
