"""Wrong passwords are answered late, the later the more of them came from an address.

Only wrong ones, and nobody is locked out: whoever knows the password is let in at once, also from
an address that many share, as behind a proxy. It makes guessing slow, not a short password strong.
"""

import ipaddress
import threading
from typing import Final

from jobd.clock import Clock

_FREE: Final = 3
_FIRST_S: Final = 0.25
_MOST_S: Final = 4.0
_FORGOTTEN_AFTER_S: Final = 900.0
_MOST_ADDRESSES: Final = 1_000


class Brake:
    """What is known of those who gave wrong passwords; threads may share it.

    Args:
        clock: by which they are forgotten.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[int, float]] = {}  # guarded by _lock
        self._lock = threading.Lock()

    def delay_s(self, address: str) -> float:
        """How long this wrong password is to be waited with: nothing for typing errors."""
        who, now_s = _network(address), self._clock.monotonic()
        with self._lock:
            count, last_s = self._seen.pop(who, (0, now_s))
            count = 1 if now_s - last_s > _FORGOTTEN_AFTER_S else count + 1
            if len(self._seen) >= _MOST_ADDRESSES:
                del self._seen[next(iter(self._seen))]  # the one not heard of for longest
            self._seen[who] = (count, now_s)
        return min(_FIRST_S * 2 ** min(count - _FREE - 1, 10), _MOST_S) if count > _FREE else 0.0


def _network(address: str) -> str:
    """The address; of IPv6 the network, of which one visitor has all addresses."""
    try:
        found = ipaddress.ip_address(address.removeprefix("::ffff:"))
    except ValueError:
        return address[:100]
    return (
        str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))
    )
