"""Proving on this host that a process of another instance is dead.

A pid alone proves nothing: it may be used again, or belong to another container. The boot, the pid
namespace and the start time of the process together name one process for ever.

Source: proc(5), field 22 of /proc/PID/stat; pid_namespaces(7).
"""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobd.fleet import Fleet
from jobd.keys import PrivateList

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PID_NAMESPACE = Path("/proc/self/ns/pid")


def proof_of_this_host() -> dict[str, str]:
    """What tells this boot of this machine, and this pid namespace, from all others.

    Empty where the kernel's part of /proc is hidden (ProcSubset= of systemd): there nothing can be
    proved, and heartbeats alone count.
    """
    try:
        boot_id = _BOOT_ID.read_text().strip()
    except OSError:
        return {}
    return {"boot_id": boot_id, "pid_namespace": str(_PID_NAMESPACE.readlink())}


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None if there is no such process."""
    with contextlib.suppress(OSError, ValueError):
        # The command's name may hold spaces and parentheses: count from its last one.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie has ended, whether or not its parent knows.
        return None if fields[0] in {"Z", "X"} else int(fields[19])
    return None


class HostWitness:
    """Looks at what other instances of this host said of their processes.

    Args:
        fleet: over the poller's connection.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._here = proof_of_this_host()

    def live(self, identities: Sequence[str]) -> dict[str, bool]:
        """Which of these instances have a heartbeat."""
        return self._fleet.live(identities)

    def dead(self, identity: str, lists: Sequence[PrivateList]) -> set[PrivateList]:
        """Those private lists of an instance whose master and worker lived here and are gone.

        A worker that the last heartbeat did not name yet is not proved dead: it may live.
        """
        told = self._fleet.instance(identity)
        if not self._here or any(told.get(name) != value for name, value in self._here.items()):
            return set()
        if _is_alive(told.get("pid"), told.get("start_ticks")):
            return set()
        try:
            workers: list[dict[str, Any]] = json.loads(told.get("workers", "[]"))
            dead = {
                (worker["slot"], worker["incarnation"])
                for worker in workers
                if not _is_alive(worker["pid"], worker["start_ticks"])
            }
        except (ValueError, KeyError, TypeError):  # another version's, or anybody's
            return set()
        return {private for private in lists if (private.slot, private.incarnation) in dead}


def _is_alive(pid: str | int | None, ticks: str | int | None) -> bool:
    """Whether a process may live; only what is known to be gone is not."""
    if not pid or not ticks or ticks == "0":
        return True
    if not Path(f"/proc/{pid}").exists():
        # Gone, or hidden (hidepid of proc(5), ProtectProc of systemd): only ESRCH tells.
        return _exists(int(pid))
    return start_ticks(int(pid)) == int(ticks)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
