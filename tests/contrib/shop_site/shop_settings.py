"""Settings of the project that the tests use; SHOP_DIRECTORY holds its databases."""

import json
import os
from pathlib import Path

import django

DIRECTORY = Path(os.environ["SHOP_DIRECTORY"])
BACKEND = "jobd.contrib.django.backend.JobdBackend"

SECRET_KEY = "of the tests"
USE_TZ = True
INSTALLED_APPS = ["jobd.contrib.django", "shop"]
if django.VERSION < (6,):
    INSTALLED_APPS.insert(0, "django_tasks")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {
    alias: {"ENGINE": "django.db.backends.sqlite3", "NAME": str(DIRECTORY / f"{alias}.sqlite3")}
    for alias in ("default", "other")
}
DATABASES["other"] |= {
    "ENGINE": "droppable",
    "CONN_MAX_AGE": None,
    "CONN_HEALTH_CHECKS": True,
}
TASKS = {
    "default": {"BACKEND": BACKEND, "QUEUES": ["default", "low"]},
    "once": {"BACKEND": BACKEND, "OPTIONS": {"retry": 0}},
    "kept": {"BACKEND": BACKEND, "QUEUES": [], "OPTIONS": {"result_ttl": 3600, "retry": 2}},
    "limited": {
        "BACKEND": BACKEND,
        "OPTIONS": {"retry": 0, "time_limit": 0.5, "kill_after": 60},
    },
    "any": {"BACKEND": BACKEND, "QUEUES": []},
}
JOBD = json.loads(os.environ.get("SHOP_JOBD", "{}"))
DEBUG = "SHOP_DEBUG" in os.environ
if not DEBUG:
    LOGGING_CONFIG = None
