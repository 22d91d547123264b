"""Settings for Django's own tests, as its contributors write them: the databases, and who runs the tests."""

import os

from .exchange import PORT

DATABASE = "django_test"
OTHER_DATABASE = "django_other"


def _database(name: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": "127.0.0.1",
        "PORT": os.environ.get(PORT, ""),
        "USER": "postgres",
        "NAME": "postgres",
        "TEST": {"NAME": name},
    }


DATABASES = {"default": _database(DATABASE), "other": _database(OTHER_DATABASE)}
TEST_RUNNER = "tidegate_conformance.django_runner.Runner"
SECRET_KEY = "of Django's tests"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
