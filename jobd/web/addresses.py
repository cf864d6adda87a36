"""Queues and classes in addresses: by their names, or by a digest where a name would not survive.

Redis takes any bytes as a name. A browser takes ``..`` out of a path, writes line ends its own way,
and what cannot be seen is shown by its number. So only what jobd itself accepts as a name stands
for itself.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from jobd.api import Access, Queue
from jobd.web.errors import NotFound

_PLAIN: Final = re.compile(r"(?!sha1:)(?!\.{1,2}$)[A-Za-z0-9_.:-]{1,200}")


def address_of(name: str) -> str:
    """The name itself, or ``sha1:`` and a digest of its bytes."""
    if _PLAIN.fullmatch(name):
        return name
    raw = name.encode("utf-8", "surrogateescape")
    return f"sha1:{hashlib.sha1(raw, usedforsecurity=False).hexdigest()}"


def queue_at(address: str, access: Access) -> Queue:
    """The queue that is meant; for a digest all are looked through.

    Raises:
        NotFound: there is none with this digest.
    """
    if not address.startswith("sha1:"):
        return Queue(address, access=access)
    for queue in Queue.all(access=access):
        if address_of(queue.name) == address:
            return queue
    raise NotFound("missing.queue")


def name_at(address: str, known: Iterable[str]) -> str:
    """The name that is meant: the address itself, or the one of these with this digest.

    Raises:
        NotFound: there is none with this digest.
    """
    if not address.startswith("sha1:"):
        return address
    for name in known:
        if address_of(name) == address:
            return name
    raise NotFound("missing.class")
