"""The settings of the project. The database is the one in DATABASE_URL."""

import os

from psycopg.conninfo import conninfo_to_dict

_DATABASE = conninfo_to_dict(os.environ["DATABASE_URL"])
_PLACES = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}

SECRET_KEY = "for a test"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "tests.drivers.programs.python.django_project.urls"
INSTALLED_APPS = ["tests.drivers.programs.python.django_project"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        **{setting: _DATABASE[name] for name, setting in _PLACES.items() if name in _DATABASE},
        "ATOMIC_REQUESTS": True,
        "CONN_MAX_AGE": None,
        "OPTIONS": {name: value for name, value in _DATABASE.items() if name not in _PLACES}
        | ({"server_side_binding": True} if os.environ.get("SERVER_SIDE_BINDING") else {}),
    }
}
