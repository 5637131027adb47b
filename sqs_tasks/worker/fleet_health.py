"""The health of all workers of one supervisor as one answer, so that a container has one port to probe."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

#: Seconds a worker's own answer may take.
TIMEOUT_SECONDS = 2.0


def worker_port(port: int, number: int) -> int:
    """The port on the loopback interface on which a worker answers its supervisor."""
    return port + 1 + number


class FleetHealth:
    """Asks each worker and puts the answers together. Called from the health server's threads.

    A worker that does not answer is being started again, which is the supervisor's business: it makes the container
    not ready, but a probe that then killed the container would end the other workers' jobs too.

    Args:
        port: The port of the supervisor; the workers' follow it.
        processes: How many workers there are.
    """

    def __init__(self, port: int, processes: int) -> None:
        self._ports = [worker_port(port, number) for number in range(processes)]

    def live(self) -> dict[str, str]:
        """What is wrong with workers that answer."""
        return self._because("/live", missing=None)

    def ready(self) -> dict[str, str]:
        """The same, and workers that do not answer."""
        return self._because("/ready", missing="does not answer")

    def metrics(self) -> str:
        """The sum of the workers' metrics; every one of them is of a kind that can be summed."""
        headers: dict[str, None] = {}
        sums: dict[str, float] = {}
        order: dict[str, list[str]] = {}
        for port in self._ports:
            answer = _get(port, "/metrics")
            for key, value, header in [] if answer is None else _samples(answer[1].decode()):
                headers.setdefault(header)
                if key not in sums:
                    order.setdefault(header, []).append(key)
                sums[key] = sums.get(key, 0) + value
        lines: list[str] = []
        for header in headers:
            lines.append(header)
            lines += [f"{key} {sums[key]:g}" for key in order[header]]
        return "\n".join(lines) + "\n"

    def _because(self, path: str, *, missing: str | None) -> dict[str, str]:
        wrong: dict[str, str] = {}
        for number, port in enumerate(self._ports):
            answer = _get(port, path)
            if answer is None:
                if missing is not None:
                    wrong[f"worker {number}"] = missing
                continue
            for name, why in _reasons(answer[1]).items():
                wrong[f"worker {number}, {name}"] = why
        return wrong


def _get(port: int, path: str) -> tuple[int, bytes] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except OSError:
        return None


def _reasons(body: bytes) -> Mapping[str, str]:
    try:
        because = json.loads(body).get("because", {})
    except (ValueError, AttributeError):
        return {}
    return because if isinstance(because, dict) else {}


def _samples(text: str) -> Iterator[tuple[str, float, str]]:
    """Each sample of a Prometheus text: its name with labels, its value, and the header lines it stands under."""
    header: list[str] = []
    fresh = True
    for line in text.splitlines():
        if line.startswith("#"):
            header = [*([] if fresh else header), line]
            fresh = False
        elif line:
            fresh = True
            key, _, value = line.rpartition(" ")
            yield key, float(value), "\n".join(header)
