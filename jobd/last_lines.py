"""What workers have written to the log last, in memory that the poller reads.

A worker keeps its last lines to itself, and leaves a copy here when the master asks (TTOU): so they
cost a job nothing but the keeping. Only a worker whose Python code goes on can do so.

One anonymous map is made before the first fork. Untouched pages cost nothing. The bytes of a slot::

    0     number of copies so far, odd while one is being made; incarnation of who made it; length
    16    the copy: whole lines, the newest last
"""

import mmap
import struct
from collections.abc import Iterable
from typing import Final

_ROOM: Final = 16_384
_HEAD: Final = struct.Struct("=III")
_TEXT_AT: Final = 16
_MOST_BYTES: Final = _ROOM - _TEXT_AT
_MAP_NORESERVE: Final = 0x4000


class LastLines:
    """The whole map. Make it before the first fork; every child inherits it.

    Args:
        slots: workers that fit, numbered from 1.
    """

    def __init__(self, slots: int) -> None:
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self._map = memoryview(mmap.mmap(-1, (slots + 1) * _ROOM, flags=flags))

    def leave(self, slot: int, incarnation: int, lines: Iterable[bytes]) -> None:
        """In a worker, in the handler of a signal: copy the newest of its lines here."""
        text = b"".join(lines)
        if len(text) > _MOST_BYTES:
            text = text[-_MOST_BYTES:].partition(b"\n")[2]
        page = self._page(slot)
        count = (self.count(slot) | 1) & 0xFFFF_FFFF
        _HEAD.pack_into(page, 0, count, incarnation, len(text))
        page[_TEXT_AT : _TEXT_AT + len(text)] = text
        _HEAD.pack_into(page, 0, (count + 1) & 0xFFFF_FFFF, incarnation, len(text))

    def count(self, slot: int) -> int:
        """How often somebody has left lines here, twice over."""
        return int(_HEAD.unpack_from(self._page(slot), 0)[0])

    def read(self, slot: int, incarnation: int, since: int) -> bytes | None:
        """What this worker has left since `count` was so much; None if nothing yet."""
        page = self._page(slot)
        count, owner, length = _HEAD.unpack_from(page, 0)
        text = bytes(page[_TEXT_AT : _TEXT_AT + length])
        is_whole = count % 2 == 0 and count == self.count(slot)
        return text if is_whole and owner == incarnation and count != since else None

    def _page(self, slot: int) -> memoryview:
        return self._map[slot * _ROOM : (slot + 1) * _ROOM]
