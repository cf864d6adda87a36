"""What may be a few seconds old is not asked of Redis again for each page."""

import threading
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

Value = TypeVar("Value")

_MOST: Final = 500


class Memory:
    """Values that are kept for a while; threads may share it."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[float, Any]] = {}  # guarded by _lock
        self._lock = threading.Lock()

    def get(self, key: Hashable, now_s: float) -> Any:
        """What is kept under a key and not too old; None if nothing is."""
        with self._lock:
            until_s, value = self._kept.get(key, (0.0, None))
        return value if now_s < until_s else None

    def recall(
        self, key: Hashable, now_s: float, life_s: float, make: Callable[[], Value]
    ) -> Value:
        """What is kept under a key, made anew if it is too old.

        Two threads may both make it: that costs less than to have one wait for the other.
        """
        kept: Value | None = self.get(key, now_s)
        return self.renew(key, now_s, life_s, make) if kept is None else kept

    def renew(self, key: Hashable, now_s: float, life_s: float, make: Callable[[], Value]) -> Value:
        """Make it anew, however old it is, and keep it."""
        value = make()
        with self._lock:
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[key] = (now_s + life_s, value)
        return value
