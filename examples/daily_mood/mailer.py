"""Sends a mail, slowly, so that you can watch a visitor wait for it, or not.

Not for real mail: the only server it knows is the catcher of this example.
"""

import smtplib
import time
from email.message import EmailMessage

from examples.daily_mood import settings

SENDER = "Daily mood <daily-mood@example.com>"


def send(recipient: str, subject: str, text: str) -> None:
    """Hand one mail to the catcher, after the deliberate wait of ``DAILY_MOOD_SECONDS``."""
    current = settings.load()
    message = EmailMessage()
    message["From"] = SENDER
    message["To"] = recipient
    message["Subject"] = subject
    message.set_content(text)
    time.sleep(current.mail_takes_s)  # noqa: TID251 - stands in for a slow mail server
    # A given host name keeps smtplib from asking the DNS for ours, which can take seconds.
    with smtplib.SMTP(
        settings.HOST, current.smtp_port, local_hostname="localhost", timeout=10
    ) as server:
        server.send_message(message)
