"""The jobs of the example; jobd loads this module (``require`` in its YAML), the web app too.

A job may run more than once: a worker that is killed in the middle is replaced, and its job starts
again. So each of these either changes nothing the second time, or may be repeated without harm.
"""

import os

from examples.daily_mood import database, mailer
from jobd import Job


class ApplicationJob(Job):
    """What all jobs of this app share; it has no ``perform``, so it is no job itself."""

    retry = 5


class MoodSenderJob(ApplicationJob):
    """Mails somebody their mood."""

    queue = "mailers"

    def perform(self, email: str, mood: str) -> None:
        """Takes as long as the mail server does."""
        self.logger.info("worker %d sends a mail to %s", os.getpid(), email)
        mailer.send(email, f"Your mood today: {mood}", f"Hello,\n\ntoday you are {mood}.\n")


class TaskLoggerJob(ApplicationJob):
    """Writes the log row of a task."""

    def perform(self, task_id: int) -> None:
        """Fails, and so is retried, while there is no such task: its title must not be NULL."""
        database.log_task(task_id)


class UserLogCreateJob(ApplicationJob):
    """Writes the log row of a user, when nothing more urgent is waiting."""

    queue = "low"

    def perform(self, user_id: int) -> None:
        """Fails, and so is retried, while there is no such user."""
        database.log_user(user_id)


class UserReminderJob(ApplicationJob):
    """Asks a user, some time later, how they are."""

    queue = "mailers"

    def perform(self, user_id: int) -> None:
        """Reads the address now: it may have changed since the reminder was asked for."""
        user = database.find_user(user_id)
        mailer.send(user.email, "How are you today?", f"Hello {user.name},\n\nhow is your mood?\n")


class Echo(Job):
    """Prints its words: the job to try from a second terminal.

    bin/jobctl push Echo '["hello"]'
    """

    def perform(self, *words: str) -> None:
        """The words reach the log of jobd at once."""
        print(*words)  # noqa: T201 - printing is all that this job is for
