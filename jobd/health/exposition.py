"""Prometheus' text format: families of samples in, text out.

Source: prometheus.io/docs/instrumenting/exposition_formats, version 0.0.4.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Sample(NamedTuple):
    """One line.

    Attributes:
        suffix: behind the family's name: empty, or ``_bucket``, ``_sum``, ``_count``.
    """

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Family(msgspec.Struct, frozen=True):
    """All samples of a name; without any it is left out.

    Attributes:
        name: with its unit, ``jobd_queue_latency_seconds``; of a counter with ``_total``.
        text: what it is, in one line.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    samples: Sequence[Sample]


def render(families: Iterable[Family]) -> str:
    """The text of a scrape."""
    return "".join(line for family in families if family.samples for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.text}\n"
    yield f"# TYPE {family.name} {family.kind}\n"
    for sample in family.samples:
        labels = ",".join(f'{key}="{_escaped(text)}"' for key, text in sample.labels.items())
        braces = f"{{{labels}}}" if labels else ""
        yield f"{family.name}{sample.suffix}{braces} {sample.value}\n"


def _escaped(text: str) -> str:
    # What no encoding can carry must not cost the whole scrape.
    return text.translate(_ESCAPES).encode(errors="replace").decode()
