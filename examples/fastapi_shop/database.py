"""The database: a table of orders, and the session that is in use where code runs."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from sqlalchemy import NullPool
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

# Without a pool, since web server, worker and tests each have an event loop of their own; with a server such as
# PostgreSQL keep the pool, and dispose of it in @env.on_stop.
engine = create_async_engine(
    os.environ.get("FASTAPI_SHOP_DATABASE", "sqlite+aiosqlite:///shop.sqlite3"), poolclass=NullPool
)
sessions = async_sessionmaker(engine, expire_on_commit=False)

_current: ContextVar[AsyncSession | None] = ContextVar("session", default=None)


class Base(DeclarativeBase):
    """What the tables have in common."""


class Order(Base):
    """An order; its receipt is sent by a task."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]
    email: Mapped[str]
    receipt: Mapped[str] = mapped_column(default="")


def current_session() -> AsyncSession | None:
    """The session of the request that runs here; None outside of requests."""
    return _current.get()


@asynccontextmanager
async def new_session() -> AsyncIterator[AsyncSession]:
    """A session for the length of a block: what is done in it is committed, or rolled back if the block raises."""
    async with sessions.begin() as session:
        token = _current.set(session)
        try:
            yield session
        finally:
            _current.reset(token)
