"""The database: a table of orders, and the session of the thread."""

from __future__ import annotations

import os

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker

engine = create_engine(os.environ.get("FLASK_SHOP_DATABASE", "sqlite:///shop.sqlite3"))
session = scoped_session(sessionmaker(engine))


class Base(DeclarativeBase):
    """What the tables have in common."""


class Order(Base):
    """An order; its receipt is sent by a task."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    article: Mapped[str]
    email: Mapped[str]
    receipt: Mapped[str] = mapped_column(default="")
