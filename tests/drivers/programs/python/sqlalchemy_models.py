"""The tables as an application of SQLAlchemy declares them."""

import datetime as dt
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Double, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """What SQLAlchemy asks for."""


class Kind(Base):
    """A row of `kinds`."""

    __tablename__ = "kinds"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None] = mapped_column(Text)
    price: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    at: Mapped[dt.datetime | None] = mapped_column(DateTime(timezone=True))
    day: Mapped[dt.date | None]
    code: Mapped[UUID | None]
    detail: Mapped[Any | None] = mapped_column(JSONB)
    body: Mapped[bytes | None]
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    paid: Mapped[bool | None]
    weight: Mapped[float | None] = mapped_column(Double)
    big: Mapped[int | None] = mapped_column(BigInteger)

    def values(self) -> list[Any]:
        """Return its columns in order."""
        return [getattr(self, column.name) for column in self.__table__.columns]


class Note(Base):
    """A row of `notes`."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    body: Mapped[str | None] = mapped_column(Text)
