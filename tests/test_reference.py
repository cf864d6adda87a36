"""The reference has every public name, and says what the docstrings say."""

import importlib
import inspect

import pytest

from tests.support import reference


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The text of each page by the name of its file."""
    return reference.pages()


def test_the_reference_is_what_the_docstrings_make_of_it(generated: dict[str, str]) -> None:
    committed = {path.name: path.read_text() for path in reference.FOLDER.glob("*.md")}
    stale = [name for name in generated | committed if generated.get(name) != committed.get(name)]
    assert stale == [], "bin/fix writes docs/reference anew"


@pytest.mark.parametrize("module", [name for name, names in reference.PAGES.items() if not names])
def test_every_public_name_of_a_module_is_in_the_reference(
    generated: dict[str, str], module: str
) -> None:
    here = importlib.import_module(module)
    defined = [
        name
        for name, value in vars(here).items()
        if (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module
        and not name.startswith("_")
    ]
    public = getattr(here, "__all__", defined)
    page = generated[f"{module}.md"]
    assert public
    assert [name for name in public if f"\n## {name}\n" not in page] == []


def test_every_method_of_a_job_is_in_the_reference(generated: dict[str, str]) -> None:
    page = generated["jobd.md"]
    methods = [name for name in dir(importlib.import_module("jobd").Job) if name[0] != "_"]
    plain = {"jid", "kill_after", "time_limit", "wire_name"}  # among the attributes of the class
    same = {"perform_later", "perform_now", "jobs"}
    missing = [n for n in methods if f"\n### Job.{n}\n" not in page]
    assert set(missing) <= plain | same
    assert all(f"- `{name}`:" in page for name in plain)
