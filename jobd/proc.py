"""What the kernel tells of the memory of processes, in proc(5)."""

import resource
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = resource.getpagesize()


def resident_bytes(pid: int) -> int:
    """All the memory of a process that is in RAM; 0 if there is no such process."""
    words = _read(pid, "statm").split()
    return int(words[1]) * _PAGE_BYTES if words else 0


def share_bytes(pid: int) -> int:
    """Likewise, but of pages that several share only its share (PSS); takes a millisecond."""
    words = _read(pid, "smaps_rollup").split()
    return int(words[words.index("Pss:") + 1]) * 1024 if words else 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:  # it has just left
        return ""
