"""What the tests of the settings share: names, types and a builder."""

from collections.abc import Callable, Mapping
from pathlib import Path

from jobd.config import (
    Config,
    QueueWeight,
)

URL = "redis://127.0.0.1:6390/12"
FIXTURES = Path(__file__).parent.parent / "fixtures" / "config"
ROOT = Path(__file__).parent.parent.parent

Environ = Mapping[str, str]
Load = Callable[..., Config]
Problems = Callable[..., list[str]]


def queues(**weights: int) -> tuple[QueueWeight, ...]:
    return tuple(QueueWeight(name=name, weight=weight) for name, weight in weights.items())
