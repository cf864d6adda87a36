"""Writes ``docs/reference``: every public name, from the docstrings; ``bin/fix`` runs it.

The code is read and not imported, so what it says is the same under every Python.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import griffe

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "docs" / "reference"

PAGES: Final[dict[str, Sequence[str]]] = {
    "jobd": (),
    "jobd.jobs": ("Setter", "FunctionJob"),
    "jobd.middleware": ("Chain",),
    "jobd.results": ("Result",),
    "jobd.enumerators": (),
    "jobd.testing": (),
    "jobd.pytest_plugin": ("jobd_fake", "jobd_inline", "jobd_server"),
    "jobd.api": (),
    "jobd.web": (),
    "jobd.contrib.django.backend": ("JobdBackend",),
    "jobd.contrib.flask": ("Jobd",),
    "jobd.contrib.sqlalchemy": ("enqueue_on_commit",),
    "jobd.contrib.opentelemetry": (),
    "jobd.contrib.sentry": (),
}
"""What is public of which module; without names, all of its ``__all__``, else what it defines."""
POSITIONAL, KEYWORD, VARIADIC = (
    griffe.ParameterKind.positional_only,
    griffe.ParameterKind.keyword_only,
    griffe.ParameterKind.var_positional,
)
STARS: Final = {VARIADIC: "*", griffe.ParameterKind.var_keyword: "**"}
_HEAD: Final = "*Generated from the docstrings by `bin/fix`; change those.*"


def pages() -> dict[str, str]:
    """The text of each page by the name of its file."""
    root = griffe.load(
        "jobd", search_paths=[str(ROOT)], resolve_aliases=True, docstring_parser="google"
    )
    texts = {f"{name}.md": "\n".join(_page(root, name)) + "\n" for name in PAGES}
    return {"README.md": "\n".join(_contents(root)) + "\n", **texts}


def names_of(root: Any, module: str) -> list[str]:
    """The public names of a module, in the order of the page."""
    if PAGES[module]:
        return list(PAGES[module])
    here = _module(root, module)
    if here.exports:
        return [str(name) for name in here.exports]
    members = [(name, member) for name, member in here.members.items() if not member.is_alias]
    wanted = [(n, m) for n, m in members if (m.is_function or m.is_class) and m.has_docstring]
    return [name for name, _ in wanted if not name.startswith("_")]


def _module(root: Any, name: str) -> Any:
    path = name.partition(".")[2]
    return root[path] if path else root


def _contents(root: Any) -> Iterator[str]:
    yield f"# Reference\n\nEvery public name. {_HEAD}\n"
    yield "| module | names |\n|---|---|"
    for module in PAGES:
        names = (f"[`{n}`]({module}.md#{_anchor(n)})" for n in names_of(root, module))
        yield f"| [`{module}`]({module}.md) | {', '.join(names)} |"


def _page(root: Any, module: str) -> Iterator[str]:
    here = _module(root, module)
    yield f"# {module}\n\n{_HEAD}\n"
    yield from _described(here)
    for name in names_of(root, module):
        member = here[name]
        yield from _named(name, member.final_target if member.is_alias else member)


def _named(name: str, member: Any) -> Iterator[str]:
    yield f"## {name}\n"
    if member.is_function:
        yield _code(_signature(name, member))
    elif member.is_class:
        yield _code(_class_line(name, member))
    else:
        yield _code(f"{name} = {member.value}" if member.value else name)
    yield from _described(member)
    if member.is_class:
        for inner, found in member.all_members.items():
            target = found.final_target if found.is_alias else found
            if _is_public(inner, target):
                yield from _member(name, inner, target)


def _is_public(name: str, member: Any) -> bool:
    return not name.startswith("_") and member.has_docstring


def _member(owner: str, name: str, member: Any) -> Iterator[str]:
    yield f"### {owner}.{name}\n"
    if member.is_function:
        yield _code(_signature(name, member))
    else:
        kind = f": {member.annotation}" if member.annotation else ""
        yield _code(f"{name}{kind}")
    yield from _described(member)


def _class_line(name: str, member: Any) -> str:
    bases = ", ".join(str(base) for base in member.bases)
    init = member.all_members.get("__init__")
    if init is None or init.is_alias:
        return f"class {name}({bases})" if bases else f"class {name}"
    return _signature(name, init, returns=False).replace(f"{name}(", f"class {name}(", 1)


def _signature(name: str, function: Any, *, returns: bool = True) -> str:
    parameters = [one for one in function.parameters if one.name not in {"self", "cls"}]
    shown = list(_parts(parameters))
    result = f" -> {function.returns}" if returns and function.returns is not None else ""
    awaited = "async " if "async" in function.labels else ""
    line = f"{awaited}{name}({', '.join(shown)}){result}"
    if len(line) <= 100:
        return line
    inner = "".join(f"    {part},\n" for part in shown)
    return f"{awaited}{name}(\n{inner}){result}"


def _parts(parameters: Sequence[Any]) -> Iterator[str]:
    kinds = [one.kind for one in parameters]
    for index, one in enumerate(parameters):
        if one.kind is KEYWORD and not {KEYWORD, VARIADIC} & set(kinds[:index]):
            yield "*"
        stars = STARS.get(one.kind, "")
        annotation = "" if one.annotation is None else f": {one.annotation}"
        equals = " = " if annotation else "="
        default = "" if stars or one.default is None else f"{equals}{one.default}"
        yield f"{stars}{one.name}{annotation}{default}"
        if one.kind is POSITIONAL and kinds[index + 1 : index + 2] != [POSITIONAL]:
            yield "/"


def _described(member: Any) -> Iterator[str]:
    if not member.has_docstring:
        return
    for section in member.docstring.parsed:
        if section.kind is griffe.DocstringSectionKind.text:
            yield _text(section.value) + "\n"
        elif section.kind is griffe.DocstringSectionKind.admonition:
            yield _text(section.value.contents) + "\n"
        else:
            yield f"**{section.kind.value.capitalize()}**\n"
            yield "\n".join(_item(item) for item in section.value) + "\n"


def _item(item: Any) -> str:
    name = getattr(item, "name", "") or ""
    raised = item.annotation if type(item).__name__ == "DocstringRaise" else ""
    label = name or raised
    text = " ".join(_text(item.description).split())
    return f"- `{label}`: {text}" if label else f"- {text}"


def _text(docstring: str) -> str:
    """As Markdown: code as there, and what is indented shown as it stands."""
    return re.sub(r"``([^`]+)``", r"`\1`", docstring).replace("*args", r"\*args")


def _code(line: str) -> str:
    return f"```\n{line}\n```\n"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def main() -> None:
    """Write the pages, and remove those of modules that are gone."""
    texts = pages()
    FOLDER.mkdir(exist_ok=True)
    for stale in set(FOLDER.glob("*.md")) - {FOLDER / name for name in texts}:
        stale.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
