"""A shop that is busy: its server's settings, and jobs for it."""

import json
import random
from pathlib import Path
from typing import Any

from tests.support.servers import Raw
from tests.web.stock import a_job

SHOP: dict[str, Any] = {
    "require": [str(Path(__file__).with_name("shop_jobs.py"))],
    "concurrency": 4,
    "queues": [["critical", 6], ["default", 3], ["mailers", 2], ["media", 1], ["low", 1]],
    "tag": "shop",
    "labels": ["eu-west"],
    "timeout": 1,
}


def push_some(raw: Raw, rounds: int = 60) -> None:
    """Jobs of every kind, for a while."""
    rng = random.Random(3)
    for number in range(rounds):
        order = rng.randint(1, 99_999)
        mail = f"customer{order}@example.com"
        _push(raw, "mailers", "OrderConfirmationMail", mail, order, retry=12, tags=["mail"])
        card = {"holder": "Ada Lovelace", "token": f"tok_{order}"}
        _push(raw, "critical", "ChargeCard", order, card, tags=["payment", "eu"], backtrace=True)
        _push(raw, "media", "Thumbnails", f"/media/{order}.jpg", [64, 256, 1024])
        if number % 6 == 0:
            _push(raw, "low", "ReindexProducts", "berlin", number)
        if number % 20 == 0:
            _push(raw, "low", "ImportCatalogue", f"https://feeds.example.com/{order}", retry=0)


def _push(raw: Raw, queue: str, name: str, *args: Any, **fields: Any) -> None:
    raw.sadd("queues", queue)
    raw.lpush(f"queue:{queue}", json.dumps(a_job(name, *args, queue=queue, **fields)))
