"""The jobs of a shop, for tests of the dashboard: they take their time, and some fail."""

import os
import random
import time
from pathlib import Path

from jobd import Job

_rng = random.Random()


class CardDeclined(Exception):
    """What a bank says."""


def _work(seconds: float) -> None:
    """Take about as long as this, as real work does; a file ends the long ones."""
    ends_at = time.monotonic() + seconds * _rng.uniform(0.5, 1.8)
    release = Path(os.environ.get("SHOP_RELEASE", "/nonexistent"))
    while time.monotonic() < ends_at and not release.exists():
        time.sleep(0.01)


class OrderConfirmationMail(Job):
    queue = "mailers"
    retry = 12
    backtrace = True
    tags = ("mail",)

    def perform(self, _email: str, order: int) -> None:
        _work(0.04)
        if order % 29 == 0:
            raise ConnectionRefusedError(f"smtp.example.com:25 refused order {order}")


class ChargeCard(Job):
    queue = "critical"
    backtrace = True
    tags = ("payment", "eu")

    def perform(self, order: int, _card: dict[str, str]) -> None:
        _work(0.09)
        if order % 7 == 0:
            raise CardDeclined(f"order {order}: the bank says no (code {order % 90 + 10})")


class Thumbnails(Job):
    queue = "media"

    def perform(self, _path: str, _sizes: list[int]) -> None:
        _work(0.25)


class ReindexProducts(Job):
    queue = "low"

    def perform(self, _shop: str, batch: int) -> None:
        _work(90 if batch == 0 else 0.6)


class ImportCatalogue(Job):
    queue = "low"
    retry = 0
    backtrace = True

    def perform(self, url: str) -> None:
        _work(0.1)
        raise TimeoutError(f"no answer from {url} within 30 s")
