"""The tables as an application of Django declares them; the test's SQL makes them."""

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Kind(models.Model):
    """A row of `kinds`."""

    id = models.IntegerField(primary_key=True)
    name = models.TextField(null=True)
    price = models.DecimalField(max_digits=10, decimal_places=2, null=True)
    at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    code = models.UUIDField(null=True)
    detail = models.JSONField(null=True)
    body = models.BinaryField(null=True)
    tags = ArrayField(models.TextField(), null=True)
    paid = models.BooleanField(null=True)
    weight = models.FloatField(null=True)
    big = models.BigIntegerField(null=True)

    class Meta:
        """The table's name, and that it is there already."""

        managed = False
        db_table = "kinds"


class Note(models.Model):
    """A row of `notes`."""

    id = models.IntegerField(primary_key=True)
    body = models.TextField(null=True)

    class Meta:
        """The table's name, and that it is there already."""

        managed = False
        db_table = "notes"
