"""What a server of a Django project requires: importing it sets Django up in the worker.

``manage.py jobd`` names it by itself; elsewhere it stands first in ``require``, or is given with
``-r jobd.contrib.django.server``. It is imported after the fork, so no connection is inherited.
"""

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from jobd.errors import ConfigError


def _set_up() -> None:
    try:
        django.setup()
    except ImproperlyConfigured as error:
        # One that no other try would pass, so the boot is not tried again.
        raise ConfigError(str(error).splitlines()) from error
    if not apps.is_installed("jobd.contrib.django"):
        raise ConfigError(['INSTALLED_APPS lacks "jobd.contrib.django"; add it to the settings'])


_set_up()
