"""The application: a view that leaves work to a task."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, jsonify, request

from .database import Base, Order, engine, session
from .tasks import send_receipt

app = Flask(__name__)
app.config["SHOP_NAME"] = "the shop"
Base.metadata.create_all(engine)


@app.teardown_appcontext
def remove_session(_error: BaseException | None) -> None:
    """At the end of requests and of jobs: what was not committed is rolled back."""
    session.remove()


@app.post("/orders")
def place_order() -> tuple[Response, int]:
    """Save an order, and have its receipt sent. If this fails, both are as if they never were."""
    order = Order(article=request.form["article"], email=request.form["email"])
    session.add(order)
    session.flush()
    send_receipt.delay(order.id)  # it waits for the commit
    if order.article == "moon":
        return jsonify(error="sold out"), 409
    session.commit()
    return jsonify(order=order.id), 201


@app.get("/orders/<int:order_id>")
def show_order(order_id: int) -> dict[str, Any]:
    """What became of an order."""
    order = session.get_one(Order, order_id)
    return {"article": order.article, "receipt": order.receipt}
