"""The configuration read again: by a child that tries it, and by the master, who takes it over.

The master itself parses nothing that could be wrong or endless: it gets what the child has read and
checked. Both see one piece of memory, made before the fork.
"""

import os
from collections.abc import Callable

from jobd.config import Config, changes
from jobd.errors import ConfigError
from jobd.supervisor.child import Child
from jobd.supervisor.plan import Generation, Renewed


class Rereading:
    """One configuration after the other.

    Args:
        config: in force.
        read: reads the sources anew; raises `ConfigError`.
        import_application: imports what a configuration names, in a child; returns 0, or tells why
            not and returns an exit status.
        renew: makes the generation of that number of a configuration.
    """

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        *,
        import_application: Callable[[Config, Child], int],
        renew: Callable[[Config, int], Generation],
    ) -> None:
        self._config = config
        self._read = read
        self._import = import_application
        self._renew = renew
        self._memory = -1

    def prepare(self) -> None:
        """In the master: memory that both see."""
        if self._memory >= 0:
            os.close(self._memory)
        self._memory = os.memfd_create("jobd-config", os.MFD_CLOEXEC)

    def attempt(self, child: Child) -> int:
        """In the child: read, compare, import; says READY, or why not."""
        try:
            config = self._read()
            self._refuse_what_needs_a_restart(config)
        except ConfigError as error:
            child.boot_failed("config", str(error))
            return os.EX_CONFIG
        # With a mold it is imported there, and a roll begins when that has worked.
        if not config.preload and (status := self._import(config, child)):
            return status
        os.write(self._memory, changes.encode(config))
        child.ready()
        return os.EX_OK

    def outcome(self, number: int) -> Renewed:
        """In the master: what the child has read."""
        size = os.fstat(self._memory).st_size
        config = changes.decode(os.pread(self._memory, size, 0))
        found = changes.compare(self._config, config)
        generation = self._renew(config, number)
        self._config = config
        must_roll = bool(found.roll) or not found.live
        return Renewed(generation, found.text, must_roll=must_roll, is_same=not found.text)

    def _refuse_what_needs_a_restart(self, config: Config) -> None:
        if restart := changes.compare(self._config, config).restart:
            raise ConfigError([f"{', '.join(restart)}: only a restart of jobd changes that"])
