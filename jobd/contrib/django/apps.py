"""What Django does with jobd when it starts: settings, transactions, and finding the jobs.

Nothing connects here. The same happens in web processes, commands and workers, so that all of
them know the same jobs.
"""

from django.apps import AppConfig
from django.conf import settings
from django.utils.module_loading import autodiscover_modules, import_string

from jobd.app import current_app  # noqa: TID251 - wiring: hands it to all others
from jobd.contrib.django import connections, preferences
from jobd.contrib.django.on_commit import OnCommitClient


class JobdConfig(AppConfig):
    """The app ``jobd``."""

    name = "jobd.contrib.django"
    label = "jobd"
    verbose_name = "jobd"

    def ready(self) -> None:
        """Apply the settings and import the ``jobs.py`` of every installed app.

        Their ``tasks.py`` too, if ``TASKS`` names our backend: without it a tasks.py may be
        anybody's, such as Celery's.
        """
        app = current_app()
        preferences.apply(app)
        app.client_class = OnCommitClient
        app.run_coroutine = connections.run_on_these
        if app.is_server:
            connections.guard(app)
        if _runs_tasks():
            # Django 5.2 alone has no tasks to import this for.
            from jobd.contrib.django import running  # noqa: PLC0415 - see above

            running.listen(app)
            autodiscover_modules("tasks")
        autodiscover_modules("jobs")


def _runs_tasks() -> bool:
    try:
        from jobd.contrib.django.backend import JobdBackend  # noqa: PLC0415 - as above
    except ImportError:
        return False
    return any(
        issubclass(import_string(params["BACKEND"]), JobdBackend)
        for params in getattr(settings, "TASKS", {}).values()
    )
