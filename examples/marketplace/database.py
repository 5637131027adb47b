"""The tables, and the session that is in use where code runs: a request's, or a job's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from sqlalchemy import ForeignKey, create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from sqs_tasks.transactions.outbox.table import outbox_table

engine = create_engine(os.environ.get("MARKETPLACE_DATABASE", "sqlite:///marketplace.sqlite3"))
sessions = sessionmaker(engine, expire_on_commit=False)

_current: ContextVar[Session | None] = ContextVar("session", default=None)


class Base(DeclarativeBase):
    """What the tables have in common."""


outbox_table(Base.metadata)


class Order(Base):
    """What a customer bought."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    article: Mapped[str]
    cents: Mapped[int]
    state: Mapped[str] = mapped_column(default="placed")
    charge: Mapped[str | None]


class Endpoint(Base):
    """Where a seller wants to be told of events."""

    __tablename__ = "endpoints"

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str]
    secret: Mapped[str]
    failures: Mapped[int] = mapped_column(default=0)
    enabled: Mapped[bool] = mapped_column(default=True)


class Event(Base):
    """Something that endpoints are told of."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    payload: Mapped[str]


class Delivery(Base):
    """One event at one endpoint."""

    __tablename__ = "deliveries"

    event_id: Mapped[int] = mapped_column(ForeignKey("events.id"), primary_key=True)
    endpoint_id: Mapped[int] = mapped_column(ForeignKey("endpoints.id"), primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    status: Mapped[int | None]
    delivered_at: Mapped[datetime | None]


class Subscriber(Base):
    """Who reads newsletters."""

    __tablename__ = "subscribers"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]


class Letter(Base):
    """One newsletter for one subscriber: the key lets nobody get it twice."""

    __tablename__ = "letters"

    newsletter: Mapped[str] = mapped_column(primary_key=True)
    subscriber_id: Mapped[int] = mapped_column(ForeignKey("subscribers.id"), primary_key=True)


def current_session() -> Session | None:
    """The session of the request or job that runs here, or None."""
    return _current.get()


@contextmanager
def transaction() -> Iterator[Session]:
    """A session for the length of a block: it is committed, or rolled back if the block raises."""
    with sessions.begin() as session:
        token = _current.set(session)
        try:
            yield session
        finally:
            _current.reset(token)
