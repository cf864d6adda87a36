"""Starts the processes of the Procfile together, and stops them together.

For the example only: in production a real supervisor (systemd, a container runtime) starts each of
them. ``examples/daily_mood/run`` prepares the environment and then becomes this program.
"""

import asyncio
import shutil
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from examples.daily_mood import settings

PROCFILE = Path(__file__).parent / "Procfile"
STOPS_LAST = "catcher"  # jobs that are finished while jobd drains still have mails to deliver


def main(argv: list[str]) -> int:
    """The exit status: 0 if it was asked to stop, 1 if something could not start or ended."""
    try:
        current = settings.load()
    except ValueError as error:
        sys.stderr.write(f"daily_mood: {error}\n")
        return 1
    problems = [
        *_if_taken(current.web_port, "DAILY_MOOD_PORT", "the web app"),
        *_if_taken(current.smtp_port, "DAILY_MOOD_SMTP_PORT", "the mail catcher"),
    ]
    if problems:
        sys.stderr.write("".join(f"daily_mood: {problem}\n" for problem in problems))
        return 1
    procfile = Path(argv[0]) if argv else PROCFILE
    return asyncio.run(_run(procfile, current))


def _if_taken(port: int, variable: str, purpose: str) -> Iterator[str]:
    with socket.socket() as probe:
        # As the servers do it: connections of an earlier run that linger must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, port))
        except OSError as error:
            yield (
                f"port {port}, for {purpose}, cannot be used: {error.strerror}. Stop what listens"
                f" there, or choose another one: {variable}=NUMBER examples/daily_mood/run"
            )


async def _run(procfile: Path, current: settings.Settings) -> int:
    arrivals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, arrivals.put_nowait, number)
    processes = {name: await _start(command, procfile) for name, command in _commands(procfile)}
    welcome = asyncio.create_task(_welcome(current))
    asked = await _until_asked_or_ended(processes, arrivals)
    welcome.cancel()
    number = asked or signal.SIGTERM
    await _stop([one for name, one in processes.items() if name != STOPS_LAST], number, arrivals)
    await _stop([one for name, one in processes.items() if name == STOPS_LAST], number, arrivals)
    return 0 if asked else 1


async def _until_asked_or_ended(
    processes: Mapping[str, Process], arrivals: asyncio.Queue[signal.Signals]
) -> signal.Signals | None:
    asked = asyncio.create_task(arrivals.get())
    exits = [asyncio.create_task(one.wait(), name=name) for name, one in processes.items()]
    done, waiting = await asyncio.wait([asked, *exits], return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    if asked in done:
        return asked.result()
    for ended in (task for task in exits if task in done):
        _say(f"{ended.get_name()} ended with status {ended.result()}: stopping the others")
    return None


def _commands(procfile: Path) -> list[tuple[str, str]]:
    lines = procfile.read_text(encoding="utf-8").splitlines()
    pairs = [line.partition(":") for line in lines if line.strip() and not line.startswith("#")]
    return [(name.strip(), command.strip()) for name, _, command in pairs]


async def _start(command: str, procfile: Path) -> Process:
    # If this program is killed, the kernel tells its children, and no process stays behind.
    tie = ("setpriv", "--pdeathsig", "TERM", "--") if shutil.which("setpriv") else ()
    # A group of its own for each, so that Ctrl-C reaches this program alone, which knows the order.
    return await asyncio.create_subprocess_exec(
        *tie, "/bin/sh", "-c", command, cwd=procfile.parent, process_group=0
    )


async def _stop(
    processes: list[Process], number: signal.Signals, arrivals: asyncio.Queue[signal.Signals]
) -> None:
    """Pass the signal on, and every later one too: a second Ctrl-C hurries jobd."""
    ended = asyncio.gather(*(one.wait() for one in processes))
    while not ended.done():
        # jobd reloads on a HUP; the terminal that went away means that it must stop.
        sent = signal.SIGTERM if number == signal.SIGHUP else number
        for one in processes:
            if one.returncode is None:
                one.send_signal(sent)
        arrival = asyncio.create_task(arrivals.get())
        both: tuple[asyncio.Future[Any], ...] = (ended, arrival)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if arrival.done():
            number = arrival.result()
        else:
            arrival.cancel()
    await ended


async def _welcome(current: settings.Settings) -> None:
    for port in (current.web_port, current.smtp_port):
        await _until_open(port)
    _say(
        f"open {current.web_url} for the forms, {current.web_url}/inbox for the mails; Ctrl-C ends"
    )


async def _until_open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(settings.HOST, port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def _say(text: str) -> None:
    sys.stdout.write(f"daily_mood: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
