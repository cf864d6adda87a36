"""A real systemd in namespaces of its own, for the units of ``systemd/``: root on Linux only.

It is process 1 of a pid namespace, on a tmpfs for /run and overlays for /etc and /var, so it sees
no other process and leaves nothing on the disk; its cgroups are below one that is removed at the
end. It shares the network, and with it the servers of the tests. It has a journald.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

from tests.support import leash
from tests.support.eventually import eventually

REPOSITORY = Path(__file__).parents[2]
INIT: Final = Path("/lib/systemd/systemd")
UID: Final = 987

# $1: the cgroup to be in, $2: what to run there.
_IN_CGROUP = """
set -eu
mount -t cgroup2 cgroup2 "$3"
mkdir "$3/$1"
echo $$ >"$3/$1/cgroup.procs"
umount "$3"
exec unshare -fpuimC --propagation private --kill-child=KILL sh -c "$2"
"""
_REMOVE_CGROUP = """
mount -t cgroup2 cgroup2 "$2"
find "$2/$1" -depth -type d -exec rmdir {} +
"""
_BOOT = """
set -eu
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/over
mount -t tmpfs tmpfs /run/over
for part in etc var; do
  mkdir /run/over/$part /run/over/$part.work
  mount -t overlay -o "lowerdir=/$part,upperdir=/run/over/$part,workdir=/run/over/$part.work" \\
    overlay /$part
done
mount -t tmpfs tmpfs /srv
mkdir /srv/python /srv/jobd /srv/packages /srv/app
mount --bind "$PYTHON" /srv/python
mount --bind "$REPOSITORY" /srv/jobd
mount --bind "$PACKAGES" /srv/packages
mount --bind "$APP" /srv/app
mkdir /run/units
cp -R /srv/app/units/. /run/units
cp /lib/systemd/system/systemd-journald*.* /run/units
for temporary in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $temporary; done
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "jobd:x:$OWNER:$OWNER::/srv/app:/usr/sbin/nologin" >>/etc/passwd
echo "jobd:x:$OWNER:" >>/etc/group
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=jobd-test SYSTEMD_UNIT_PATH=/run/units \\
  /lib/systemd/systemd --system --unit=test.target --show-status=no --log-target=console
"""
_TARGET = """
[Unit]
DefaultDependencies=no
AllowIsolate=yes
Wants=systemd-journald.socket
"""
_JOBCTL = "'import sys; from jobd.ctl import main; sys.exit(main())'"
# Without these the units would want half of a machine.
_ALONE = """
[Unit]
DefaultDependencies=no
[Service]
ExecStart=
ExecStart=/srv/python/bin/{python} -m jobd -C jobd.yml -e production {args}
ExecReload=
ExecReload=/srv/python/bin/{python} -c {jobctl} -C jobd.yml -e production {reload}
ReadWritePaths=/srv/app
Environment=PYTHONPATH=/srv/jobd:/srv/packages LD_LIBRARY_PATH=/srv/python/lib REDIS_URL={url}
"""


class CannotBoot(Exception):
    """Why there is no systemd here."""


class Systemd:
    """One that runs the shipped units over an application in a directory.

    Args:
        directory: becomes ``/srv/app``: write ``jobd.yml`` and jobs there.
        redis_url: of a server on this machine.

    Raises:
        CannotBoot: this machine or this user cannot.
    """

    def __init__(self, directory: Path, redis_url: str) -> None:
        if os.geteuid() != 0:
            raise CannotBoot("only root can boot one")
        if not INIT.exists():
            raise CannotBoot(f"there is no {INIT}")
        self.directory = directory
        self._log = directory / "boot.log"
        self._cgroup = f"jobd-test-{os.getpid()}"
        self._write_units(redis_url)
        for path in (directory, *directory.rglob("*")):
            os.chown(path, UID, UID)
        self._process = self._start()
        try:
            self._init = self._wait_for_init()
        except AssertionError as error:
            self.close()
            raise CannotBoot(str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def systemctl(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run systemctl inside."""
        return self._inside("systemctl", *words)

    def show(self, unit: str) -> Mapping[str, str]:
        """All properties of a unit."""
        lines = self.systemctl("show", unit).stdout.splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def expect(self, unit: str, timeout: float = 20, **properties: str) -> None:
        """Wait until a unit has these properties; a value may be the beginning of one."""

        def has_all() -> bool:
            shown = self.show(unit)
            return all(shown.get(name, "").startswith(text) for name, text in properties.items())

        eventually(has_all, timeout=timeout, message=lambda: f"{properties}\n{self.story(unit)}")

    def journal(self, unit: str) -> list[dict[str, Any]]:
        """What the journal has of a unit and from its processes, oldest first."""
        self._inside("journalctl", "--sync")
        lines = self._inside("journalctl", "-o", "json", "-u", unit).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def story(self, unit: str) -> str:
        """For a message: what is known of a unit."""
        status = self.systemctl("status", "--no-pager", "-l", "-n", "30", unit).stdout
        return f"{status}\n{self._log.read_text()}"

    def kill(self, unit: str, signal: str, whom: str = "main") -> None:
        """Signal a unit's main process."""
        self.systemctl("kill", f"--kill-whom={whom}", "-s", signal, unit)

    def processes(self, unit: str) -> set[int]:
        """Pids of a unit, as they are inside."""
        path = f"/sys/fs/cgroup{self.show(unit)['ControlGroup']}/cgroup.procs"
        return set(map(int, self._inside("cat", path).stdout.split()))

    def drop_in(self, unit: str, text: str) -> None:
        """Change directives of a unit, from its next start on."""
        path = f"/run/units/{unit}.d/zz-later.conf"
        self._inside("sh", "-c", f'printf "%s" "$0" >{path}', text)
        self.systemctl("daemon-reload")

    def close(self) -> None:
        """End it and all that it runs, and remove its cgroups."""
        self._process.kill()
        self._process.wait()
        place = self.directory / "cgroups"
        eventually(
            lambda: (
                self._run(
                    "unshare", "-m", "sh", "-c", _REMOVE_CGROUP, "sh", self._cgroup, place
                ).returncode
                == 0
            )
        )

    def _write_units(self, redis_url: str) -> None:
        units = self.directory / "units"
        units.mkdir()
        (self.directory / "cgroups").mkdir()
        for path in (REPOSITORY / "systemd").glob("jobd*.*"):
            shutil.copy(path, units)
        python = Path(sys.executable).resolve().name
        for name, args in (("jobd", ""), ("jobd@", "-g %i")):
            drop_ins = units / f"{name}.service.d"
            drop_ins.mkdir()
            shutil.copy(REPOSITORY / "systemd" / "drop-ins" / "strict.conf", drop_ins)
            shipped = (units / f"{name}.service").read_text()
            reload = re.findall(r"^ExecReload=.* (reload .*)$", shipped, re.MULTILINE)[0]
            alone = _ALONE.format(
                python=python, url=redis_url, args=args, jobctl=_JOBCTL, reload=reload
            )
            (drop_ins / "test.conf").write_text(alone)
        (units / "test.target").write_text(_TARGET)

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "PYTHON": sys.base_prefix,
            "REPOSITORY": str(REPOSITORY),
            "PACKAGES": sysconfig.get_path("purelib"),
            "APP": str(self.directory),
            "OWNER": str(UID),
        }
        place = str(self.directory / "cgroups")
        script = ("sh", "-c", _IN_CGROUP, "sh", self._cgroup, _BOOT, place)
        with self._log.open("wb") as output:
            return leash.start(
                ["unshare", "-m", "--propagation", "private", *script],
                cwd=self.directory,
                env=environment,
                output=output,
            )

    def _wait_for_init(self) -> int:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")

        def booted() -> int | None:
            with contextlib.suppress(FileNotFoundError):
                for pid in map(int, children.read_text().split()):
                    self._init = pid
                    if self.systemctl("is-active", "test.target").stdout.strip() == "active":
                        return pid
            return None

        return eventually(booted, message=self._log.read_text)

    def _inside(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return self._run("nsenter", "-t", str(self._init), "-m", "-p", "-u", "-i", "-C", *words)

    def _run(self, *words: object) -> "subprocess.CompletedProcess[str]":
        command = list(map(str, words))
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=120, cwd="/"
        )
