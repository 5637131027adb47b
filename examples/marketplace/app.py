"""The web application: endpoints that save, and leave the rest to jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

from .database import Base, Endpoint, Order, engine, transaction
from .newsletters import send_newsletter
from .orders import process


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the tables before the first request."""
    Base.metadata.create_all(engine)
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
def place_order(email: str, article: str, cents: int) -> dict[str, int]:
    """Save an order and start what happens to it. If this fails, nothing is saved and nothing starts."""
    with transaction() as session:
        order = Order(email=email, article=article, cents=cents)
        session.add(order)
        session.flush()
        process(order)
        if article == "moon":
            raise HTTPException(409, "sold out")
    return {"order": order.id}


@app.get("/orders/{order_id}")
def show_order(order_id: int) -> dict[str, str | None]:
    """What became of an order."""
    with transaction() as session:
        order = session.get_one(Order, order_id)
        return {"state": order.state, "charge": order.charge}


@app.post("/endpoints", status_code=201)
def add_endpoint(url: str, secret: str) -> dict[str, int]:
    """Register where a seller is told of events."""
    if not url.startswith(("http://", "https://")):
        raise HTTPException(422, "a URL of HTTP, please")
    with transaction() as session:
        endpoint = Endpoint(url=url, secret=secret)
        session.add(endpoint)
    return {"endpoint": endpoint.id}


@app.post("/newsletters", status_code=202)
def start_newsletter(name: str) -> dict[str, str | None]:
    """Send a newsletter to all subscribers."""
    return {"job": send_newsletter.delay(name).job_id}
