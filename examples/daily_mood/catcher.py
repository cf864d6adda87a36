"""A mail server that delivers nothing: it keeps what it gets for the web app's inbox page.

``python -m examples.daily_mood.catcher`` serves until SIGINT or SIGTERM.
"""

import asyncio
import email
import email.policy
import signal
import sys
from email.message import EmailMessage

from aiosmtpd.smtp import SMTP, Envelope, Session

from examples.daily_mood import database, settings


class Keeper:
    """Takes every mail, for whomever it is."""

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Store first, then answer 250: from then on the sender forgets the mail."""
        message = email.message_from_bytes(
            envelope.content if isinstance(envelope.content, bytes) else b"",
            policy=email.policy.default,
        )
        database.add_mail(", ".join(envelope.rcpt_tos), message["Subject"] or "", _text(message))
        return "250 OK"


def _text(message: EmailMessage) -> str:
    body = message.get_body(("plain", "html"))
    return "" if body is None else str(body.get_content())


async def serve(port: int) -> None:
    """Listen until a signal asks to stop."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    # A given host name keeps aiosmtpd from asking the DNS for ours.
    server = await loop.create_server(
        lambda: SMTP(Keeper(), enable_SMTPUTF8=True, hostname="localhost", loop=loop),
        settings.HOST,
        port,
    )
    await stop.wait()
    server.close()


def main() -> int:
    """The exit status: 1 if the port cannot be had."""
    port = settings.load().smtp_port
    try:
        asyncio.run(serve(port))
    except OSError as error:
        sys.stderr.write(
            f"catcher: cannot listen on port {port}: {error.strerror or error}"
            " (choose another one by DAILY_MOOD_SMTP_PORT)\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
