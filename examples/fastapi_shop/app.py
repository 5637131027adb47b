"""The application: two endpoints that leave work to tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

from .database import Base, Order, engine, new_session
from .tasks import greet, send_receipt


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the tables before the first request; give the connections back after the last."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def place_order(article: str, email: str) -> dict[str, int]:
    """Save an order, and have its receipt sent. If this fails, both are as if they never were."""
    async with new_session() as session:
        order = Order(article=article, email=email)
        session.add(order)
        await session.flush()
        await send_receipt.adelay(order.id)  # returns at once: it waits for the commit
        if article == "moon":
            raise HTTPException(409, "sold out")
    return {"order": order.id}


@app.post("/customers", status_code=202)
async def sign_up(email: str) -> dict[str, str | None]:
    """Without a session the job is sent here and now, and the event loop goes on meanwhile."""
    receipt = await greet.adelay(email)
    return {"job": receipt.job_id}


@app.get("/orders/{order_id}")
async def show_order(order_id: int) -> dict[str, str]:
    """What became of an order."""
    async with new_session() as session:
        order = await session.get_one(Order, order_id)
        return {"article": order.article, "receipt": order.receipt}
