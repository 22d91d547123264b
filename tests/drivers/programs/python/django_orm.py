"""Django's ORM with psycopg: in autocommit, in `atomic` blocks, and in requests that are transactions."""

import os
import threading
from typing import Any

import django
from django.db import DatabaseError, connection, transaction
from django.test import Client
from psycopg.conninfo import conninfo_to_dict

from tests.drivers.programs.python.harness import (
    PARAMETER_COLUMNS,
    Shown,
    digest,
    parameters_of,
    plain_row,
    serve,
    shown_error,
)

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.drivers.programs.python.django_project.settings"
django.setup()

from tests.drivers.programs.python.django_project.models import Kind, Note  # noqa: E402 - after the set-up


class DjangoProgram:
    """One thread's connection, kept as `CONN_MAX_AGE` says."""

    driver = "Django" + (", server-side binding" if os.environ.get("SERVER_SIDE_BINDING") else "")
    version = django.get_version()

    def show(self, error: BaseException) -> Shown | None:
        told: Any = getattr(error.__cause__, "diag", None)
        if told is None:
            return None
        message = told.message_primary or str(error)
        return shown_error(told.sqlstate, message, told.message_detail, told.constraint_name)

    def _refused(self, query: str, *parameters: object) -> Shown | None:
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, parameters or None)
        except DatabaseError as error:
            return self.show(error)
        raise AssertionError("an error was to be expected")

    def _name(self, number: int) -> Any:
        return Kind.objects.values_list("name", flat=True).get(pk=number)

    def _note(self, number: int) -> Any:
        return Note.objects.filter(pk=number).values_list("body", flat=True).first()

    def connect(self, url: str) -> list[Any]:
        given = conninfo_to_dict(url)
        other = connection.copy()
        places = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
        other.settings_dict = {
            **other.settings_dict,
            **{setting: str(given.get(name) or "") for name, setting in places.items()},
            "OPTIONS": {name: value for name, value in given.items() if name not in places},
        }
        try:
            with other.cursor() as cursor:
                cursor.execute("SELECT 1")
                return list(cursor.fetchone() or ())
        finally:
            other.close()

    def session(self) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user, current_database(), current_setting('application_name')")
            return list(cursor.fetchone() or ())

    def row(self, number: int) -> list[Any]:
        return [plain_row(found) for found in Kind.objects.filter(pk=number).values_list()]

    def row_raw(self, number: int) -> list[Any]:
        found = Kind.objects.raw("SELECT * FROM kinds WHERE id = %s", [number])
        return [plain_row([getattr(one, field.attname) for field in Kind._meta.fields]) for one in found]

    def large(self) -> list[Any]:
        return digest(Kind.objects.filter(pk__gt=0).order_by("pk").values_list("name", "big"))

    def list_(self, numbers: list[int]) -> list[Any]:
        return list(Kind.objects.filter(pk__in=numbers).order_by("pk").values_list("name", flat=True))

    def typed_parameters(self, number: int) -> list[Any]:
        values = dict(zip(PARAMETER_COLUMNS, parameters_of(number), strict=True))
        given = [values, {**values, "name": "no such name"}]
        return [list(Kind.objects.filter(**one).values_list("pk", flat=True)) for one in given]

    def described(self) -> list[str]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id, name, price, at, detail FROM kinds WHERE id = %s", [-1])
            return [column[0] for column in cursor.description or ()]

    def settings(self, number: int) -> list[Any]:
        seen = []
        for command in ("RESET TimeZone", "SET TimeZone TO 'America/New_York'", "RESET TimeZone"):
            with connection.cursor() as cursor:
                cursor.execute(command)
                for _ in range(3):
                    cursor.execute("SELECT at::text FROM kinds WHERE id = %s", [number])
                    moment = (cursor.fetchone() or (None,))[0]
            seen.append(moment)
        return seen

    def pool(self, connections: int, reads: int) -> list[Any]:
        seen: list[Any] = [None] * connections

        def use(place: int) -> None:
            seen[place] = [self._name(number) for number in range(1, reads + 1)]
            connection.close()  # a thread's own

        threads = [threading.Thread(target=use, args=[place]) for place in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return seen

    def transaction_reads(self, number: int) -> list[Any]:
        with transaction.atomic():
            return [self.row(number)[0] for _ in range(2)]

    def request(self, number: int) -> list[Any]:
        found: list[Any] = Client().get(f"/kinds/{number}").json()
        return found

    def _counts(self, end: str) -> list[Any]:
        Note.objects.all().delete()
        with transaction.atomic():
            Note.objects.create(pk=1, body="body")
            Note.objects.create(pk=2, body="body")
            seen = [Note.objects.count()]
            transaction.set_rollback(end == "rollback")
        return [*seen, Note.objects.count()]

    def commit(self) -> list[Any]:
        return self._counts("commit")

    def rollback(self) -> list[Any]:
        return self._counts("rollback")

    def read_then_write(self) -> list[Any]:
        Note.objects.all().delete()
        Note.objects.create(pk=1, body="before")
        with transaction.atomic():
            note = Note.objects.get(pk=1)
            seen: list[Any] = [note.body]
            note.body = "after"
            note.save()
            seen.append(self._note(1))
        return [*seen, self._note(1)]

    def savepoint(self) -> list[Any]:
        Note.objects.all().delete()
        refused = None
        with transaction.atomic():
            Note.objects.create(pk=1)
            try:
                with transaction.atomic():
                    Note.objects.create(pk=1)
            except DatabaseError as error:
                refused = self.show(error)
            Note.objects.create(pk=2)
        return [refused, list(Note.objects.order_by("pk").values_list("pk", flat=True))]

    def error_in_transaction(self) -> list[Any]:
        with transaction.atomic():
            self._name(3)
            seen = [self._refused("SELECT 1/0"), self._refused("SELECT 1")]
            transaction.set_rollback(True)
        return [*seen, self._name(3)]

    def errors(self) -> list[Any]:
        seen = [self._refused(query) for query in ("SELECT 1/0", "SELECT * FROM missing", "SELEC 1")]
        seen.append(self._refused("INSERT INTO kinds (id) VALUES (%s)", 0))
        seen.append(self._refused("SELECT name FROM kinds WHERE id = %s::text::int", "seven"))
        return [*seen, self._name(3)]

    def write_and_read(self, rounds: int) -> list[Any]:
        Note.objects.all().delete()
        seen = []
        for _ in range(rounds):
            Note.objects.create(pk=1, body="one")
            round_seen = [1, self._note(1)]
            round_seen += [Note.objects.filter(pk=1).update(body="two"), self._note(1)]
            round_seen += [Note.objects.filter(pk=1).delete()[0], self._note(1)]
            seen.append(round_seen)
        return seen

    def batch(self, count: int) -> list[Any]:
        Note.objects.all().delete()
        Note.objects.bulk_create([Note(pk=number, body=f"note {number}") for number in range(count)])
        return [Note.objects.count(), self._note(count - 1)]

    def cursor(self, size: int) -> list[Any]:
        streamed = Kind.objects.filter(pk__range=(1, 1000)).order_by("pk").values_list("pk", flat=True)
        numbers, between = [], None
        for number in streamed.iterator(chunk_size=size):
            between = between or self._name(3)
            numbers.append(number)
        return [len(numbers), sum(numbers), between]


if __name__ == "__main__":
    serve(DjangoProgram())
