"""How fast the worker is, beside its peers and beside a bare boto3 loop, against one endpoint in one run.

    python benchmarks/worker.py                     # all, and docs/benchmarks.md
    python benchmarks/worker.py --only ours bare --jobs 2000 --memory-jobs 0 --no-write

The endpoint is the embedded SQS in a process of its own. Every peer comes from PyPI into an environment of its own,
``.venv-bench-NAME``, made on the first run from ``benchmarks/peers/NAME.lock``, and is set up as its documentation
says. A job writes one byte to a file, so that the end is seen from outside; CPU is that of all processes of the worker,
from the tenth to the last percent.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import boto3

ROOT = Path(__file__).resolve().parents[1]
BODY = "x" * 200
TICKS = os.sysconf("SC_CLK_TCK")

#: The server, counting requests by action; SIGUSR1 has it write the counts down and begin anew.
SERVER = """
import collections, json, os, signal, sys
from sqs_tasks.local.model.service import Service
from sqs_tasks.local.server import serve

counts = collections.Counter()
call = Service.call

def counted(self, action, *args):
    counts[action] += 1
    return call(self, action, *args)

def tell(*_):
    text = json.dumps(counts)
    counts.clear()
    with open("counts.new", "w") as file:
        file.write(text)
    os.rename("counts.new", "counts.json")

Service.call = counted
signal.signal(signal.SIGUSR1, tell)

def ready(url):
    with open("url.new", "w") as file:
        file.write(url)
    os.rename("url.new", "url")

serve(port=0, on_ready=ready)
"""

#: What the tasks of all have in common.
DONE = """
import os
_done = os.open("done", os.O_APPEND | os.O_CREAT | os.O_WRONLY)

def done():
    os.write(_done, b".")
"""

BARE = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
import boto3
from common import done

sqs = boto3.client("sqs")

def url():
    return sqs.create_queue(QueueName="bare")["QueueUrl"]

def produce(jobs, kind, body):
    u = url()
    # The messages are ours to the letter: botocore takes its time to read attributes.
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in {
        "JobName": kind, "ContentType": "json", "JobContext": "{}", "JobId": "0" * 32}.items()}
    for start in range(0, jobs, 10):
        sqs.send_message_batch(QueueUrl=u, Entries=[
            {"Id": str(i), "MessageBody": json.dumps({"text": body}), "MessageAttributes": attributes}
            for i in range(10)])

def noop(text):
    done()

def io(text):
    time.sleep(0.02)
    done()

if sys.argv[1] == "consume":
    u = url()
    call = {"noop": noop, "io": io}
    pool = ThreadPoolExecutor(50) if sys.argv[2] == "io" else None
    while True:
        messages = sqs.receive_message(QueueUrl=u, MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=["All"],
                                       MessageAttributeNames=["All"]).get("Messages", [])
        for message in messages:
            fn = call[message["MessageAttributes"]["JobName"]["StringValue"]]
            kwargs = json.loads(message["Body"])
            pool.submit(fn, **kwargs) if pool else fn(**kwargs)
        if messages:
            sqs.delete_message_batch(QueueUrl=u, Entries=[
                {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)])
"""

OURS = """
import time
from sqs_tasks import SQSEnv
from common import done

env = SQSEnv()

def noop(text: str) -> None:
    done()

def io(text: str) -> None:
    time.sleep(0.02)
    done()

queues = [env.queue(f"ours{n}", visibility_timeout_seconds=60) for n in range(5)]
for queue in queues:
    queue.processor("noop")(noop)
    queue.processor("io")(io)

def produce(jobs, kind, body):
    env.create_queues()
    of = queues if kind == "five" else queues[:1]
    for queue in of:
        queue.task("io" if kind == "io" else "noop").map({"text": body} for _ in range(jobs // len(of)))
"""

SQS_WORKERS = """
import sys, time
import boto3
from sqs_workers import SQSEnv, create_standard_queue
from common import done

env = SQSEnv(session=boto3)
queue = env.queue("sqsworkers")

@queue.processor("noop")
def noop(text):
    done()

@queue.processor("io")
def io(text):
    time.sleep(0.02)
    done()

def produce(jobs, kind, body):
    create_standard_queue(env, "sqsworkers", visibility_timeout=60)
    task = {"noop": noop, "io": io}[kind]
    with queue.add_batch():
        for _ in range(jobs):
            task.delay(text=body)

if sys.argv[1] == "consume":
    queue.process_queue()
"""

PYQS = """
import time
import boto3
from pyqs import task
from common import done

@task(queue="pyqs")
def noop(text):
    done()

@task(queue="pyqs")
def io(text):
    time.sleep(0.02)
    done()

def produce(jobs, kind, body):
    boto3.client("sqs").create_queue(QueueName="pyqs", Attributes={"VisibilityTimeout": "60"})
    fn = {"noop": noop, "io": io}[kind]
    for _ in range(jobs):
        fn.delay(text=body)
"""

CELERY = """
import os, time
from celery import Celery
from common import done

host = os.environ["AWS_ENDPOINT_URL_SQS"].removeprefix("http://")
app = Celery("bench", broker=f"sqs://test:test@{host}")
app.conf.update(
    broker_transport_options={"is_secure": False, "region": "us-east-1", "visibility_timeout": 60,
        # Its default of a second between polls would be all that is measured.
        "wait_time_seconds": 1, "polling_interval": 0.01,
        "predefined_queues": {"celery": {"url": f"http://{host}/000000000000/celery", "access_key_id": "test",
                                         "secret_access_key": "test"}}},
    task_acks_late=True, worker_prefetch_multiplier=10, task_ignore_result=True, worker_enable_remote_control=False,
)

@app.task(name="noop")
def noop(text):
    done()

@app.task(name="io")
def io(text):
    time.sleep(0.02)
    done()

def produce(jobs, kind, body):
    import boto3
    boto3.client("sqs").create_queue(QueueName="celery", Attributes={"VisibilityTimeout": "60"})
    fn = {"noop": noop, "io": io}[kind]
    for _ in range(jobs):
        fn.delay(text=body)
"""

DRAMATIQ = """
import os, time
import dramatiq
from dramatiq_sqs import SQSBroker
from dramatiq.middleware import AgeLimit, Callbacks, Pipelines, Retries, ShutdownNotifications, TimeLimit
from common import done

broker = SQSBroker(namespace="dramatiq", visibility_timeout=60,
                   middleware=[AgeLimit(), TimeLimit(), ShutdownNotifications(), Callbacks(), Pipelines(), Retries()])
dramatiq.set_broker(broker)

@dramatiq.actor
def noop(text):
    done()

@dramatiq.actor
def io(text):
    time.sleep(0.02)
    done()

def produce(jobs, kind, body):
    fn = {"noop": noop, "io": io}[kind]
    for _ in range(jobs):
        fn.send(text=body)
"""

TASKIQ = """
import asyncio, os
from taskiq_aio_sqs import SQSBroker
from common import done

broker = SQSBroker(sqs_queue_name="taskiq", endpoint_url=os.environ["AWS_ENDPOINT_URL_SQS"], region_name="us-east-1",
                   aws_access_key_id="test", aws_secret_access_key="test", wait_time_seconds=1,
                   max_number_of_messages=10, visibility_timeout=60)

@broker.task(task_name="noop")
async def noop(text: str) -> None:
    done()

@broker.task(task_name="io")
async def io(text: str) -> None:
    await asyncio.sleep(0.02)
    done()

def produce(jobs, kind, body):
    from botocore.session import get_session
    get_session().create_client("sqs").create_queue(QueueName="taskiq", Attributes={"VisibilityTimeout": "60"})

    async def send():
        await broker.startup()
        fn = {"noop": noop, "io": io}[kind]
        for _ in range(jobs):
            await fn.kiq(text=body)
        await broker.shutdown()

    asyncio.run(send())
"""

PRODUCE = """
import sys, time
sys.argv = ["bench", "produce"]
import bench
bench.produce(0, KIND, BODY)
started, cpu = time.perf_counter(), time.process_time()
bench.produce(JOBS, KIND, BODY)
print(time.perf_counter() - started, time.process_time() - cpu)
"""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One to measure: its module, and the command line of its worker for each kind of job."""

    name: str
    source: str
    consume: Mapping[str, Sequence[str]]
    #: Whether it is another library, from ``benchmarks/peers``.
    is_peer: bool = False
    #: Whether its producing is worth a measurement of its own.
    produces: bool = True
    how: Mapping[str, str] = field(default_factory=dict)
    #: A fraction of the jobs is enough for the slow.
    fewer: Mapping[str, int] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return Path(sys.executable) if not self.is_peer else ROOT / f".venv-bench-{self.name}" / "bin" / "python"

    @property
    def lock(self) -> Path:
        """The versions it is measured with, all of them, so that a run can be repeated."""
        return ROOT / "benchmarks" / "peers" / f"{self.name}.lock"

    @property
    def kinds(self) -> Sequence[str]:
        """What is measured of it."""
        return [kind for kind in ("produce", *KINDS) if (self.produces if kind == "produce" else kind in self.consume)]

    def install(self) -> None:
        """Make its environment, once."""
        if self.is_peer and not self.python.exists():
            print(f"  installing {self.name}", flush=True)
            subprocess.run([sys.executable, "-m", "venv", str(self.python.parents[1])], check=True)
            pip = [str(self.python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, "--no-deps", "-r", str(self.lock)], check=True)

    def versions(self) -> str:
        """What was installed."""
        if not self.is_peer:
            return ""
        code = f"import importlib.metadata as m; print(m.version({self.name!r}))"
        told = subprocess.run([str(self.python), "-c", code], capture_output=True, text=True, check=True).stdout
        return f"{self.name} {told.strip()}"


def _ours(*options: str, queues: str = "ours0") -> list[str]:
    words = ["{python}", "-m", "sqs_tasks", "worker", "bench:env", queues]
    return [*words, "--log-level", "error", "--wait-seconds", "1", *options]


CONTENDERS = (
    Contender(
        name="bare",
        source=BARE,
        consume={
            "noop": ["{python}", "bench.py", "consume", "noop"],
            "io": ["{python}", "bench.py", "consume", "io"],
            "two": ["sh", "-c", "{python} bench.py consume noop & {python} bench.py consume noop & wait"],
        },
        how={
            "noop": "receive 10, call, delete 10",
            "io": "the same, 50 threads, deleted before they are done",
            "two": "two of them",
        },
    ),
    Contender(
        name="ours",
        source=OURS,
        consume={
            "noop": _ours("-c", "1", "--prefetch", "9"),
            "io": _ours("-c", "50", "--prefetch", "20"),
            "two": _ours("-c", "1", "--prefetch", "9", "-p", "2"),
            "five": _ours("-c", "10", "--prefetch", "50", queues="ours*"),
        },
        how={
            "noop": "-c 1 --prefetch 9",
            "io": "-c 50 --prefetch 20",
            "two": "-c 1 --prefetch 9 -p 2",
            "five": "-c 10 --prefetch 50",
        },
    ),
    Contender(
        name="ours-no-prefetch",
        produces=False,
        source=OURS,
        consume={"io": _ours("-c", "50"), "five": _ours("-c", "10", queues="ours*")},
        how={"io": "-c 50: receives only what can start", "five": "-c 10"},
    ),
    Contender(
        name="sqs-workers",
        source=SQS_WORKERS,
        is_peer=True,
        consume={"noop": ["{python}", "bench.py", "consume"], "io": ["{python}", "bench.py", "consume"]},
        how={"noop": "process_queue()", "io": "process_queue(): no threads"},
        fewer={"io": 10},
    ),
    Contender(
        name="pyqs",
        source=PYQS,
        is_peer=True,
        consume={
            "noop": ["{bin}/pyqs", "pyqs", "-c", "1"],
            "io": ["{bin}/pyqs", "pyqs", "-c", "50"],
            "two": ["{bin}/pyqs", "pyqs", "-c", "2"],
        },
        how={"noop": "-c 1", "io": "-c 50 (processes)", "two": "-c 2"},
        fewer={"produce": 10, "noop": 10, "io": 10, "two": 10},
    ),
    Contender(
        name="celery",
        source=CELERY,
        is_peer=True,
        consume={
            "noop": ["{bin}/celery", "-A", "bench", "worker", "-c", "1", "-l", "ERROR"],
            "io": ["{bin}/celery", "-A", "bench", "worker", "-P", "threads", "-c", "50", "-l", "ERROR"],
            "two": ["{bin}/celery", "-A", "bench", "worker", "-c", "2", "-l", "ERROR"],
        },
        how={"noop": "-c 1", "io": "-P threads -c 50", "two": "-c 2"},
    ),
    Contender(
        name="dramatiq-sqs",
        source=DRAMATIQ,
        is_peer=True,
        consume={
            "noop": ["{bin}/dramatiq", "bench", "-p", "1", "-t", "8"],
            "io": ["{bin}/dramatiq", "bench", "-p", "1", "-t", "50"],
            "two": ["{bin}/dramatiq", "bench", "-p", "2", "-t", "8"],
        },
        how={"noop": "-p 1 -t 8", "io": "-p 1 -t 50", "two": "-p 2 -t 8"},
    ),
    Contender(
        name="taskiq-aio-sqs",
        source=TASKIQ,
        is_peer=True,
        consume={
            "noop": ["{bin}/taskiq", "worker", "bench:broker", "-w", "1"],
            "io": ["{bin}/taskiq", "worker", "bench:broker", "-w", "1", "--max-async-tasks", "50"],
            "two": ["{bin}/taskiq", "worker", "bench:broker", "-w", "2"],
        },
        how={"noop": "-w 1", "io": "-w 1 --max-async-tasks 50", "two": "-w 2"},
    ),
)


@dataclass(kw_only=True)
class Result:
    """What was measured of one contender with one kind of job."""

    jobs: int
    seconds: float
    cpu: float
    requests: float

    @property
    def per_second(self) -> float:
        """Jobs by the clock."""
        return self.jobs / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Jobs by the CPU time of all processes."""
        return self.jobs / max(self.cpu, 1 / TICKS)


class Endpoint:
    """The embedded SQS in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "server.py").write_text(SERVER)
        self.process = subprocess.Popen([sys.executable, "server.py"], cwd=directory, env=_environment(str(ROOT), ""))
        self.url = _wait_for(directory / "url").read_text()

    def counts(self) -> dict[str, int]:
        """Requests by action since the last call."""
        path = self.directory / "counts.json"
        path.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(_wait_for(path).read_text())


@contextlib.contextmanager
def endpoint() -> Iterator[Endpoint]:
    with tempfile.TemporaryDirectory() as directory:
        one = Endpoint(Path(directory))
        try:
            yield one
        finally:
            one.process.terminate()
            one.process.wait()


def measure_producing(contender: Contender, jobs: int) -> Result:
    """Add jobs, as its documentation says, in one process."""
    with endpoint() as server, tempfile.TemporaryDirectory() as name:
        directory = _module(contender, Path(name))
        seconds, cpu = _produce(contender, directory, server, jobs, "noop")
        requests = sum(count for action, count in server.counts().items() if action.startswith("SendMessage"))
        return Result(jobs=jobs, seconds=seconds, cpu=cpu, requests=requests / jobs)


def measure_consuming(contender: Contender, jobs: int, kind: str, patience: float) -> Result | None:
    """Work a full queue; None when it has not finished in time."""
    job = kind if kind in ("io", "five") else "noop"
    with endpoint() as server, tempfile.TemporaryDirectory() as name:
        directory = _module(contender, Path(name))
        _produce(contender, directory, server, jobs, job)
        server.counts()
        words = [w.format(python=contender.python, bin=contender.python.parent) for w in contender.consume[kind]]
        log = (directory / "log").open("w")
        worker = subprocess.Popen(
            words,
            cwd=directory,
            env=_environment(str(directory), server.url),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            done = directory / "done"
            first = _until(done, jobs // 10, worker, patience)
            if first is None:
                print((directory / "log").read_text()[-3000:])
                return None
            began, cpu, at = time.perf_counter(), _tree_cpu(worker.pid), first
            last = _until(done, jobs, worker, patience)
            ended, cpu = time.perf_counter(), _tree_cpu(worker.pid) - cpu
            if last is None:
                return None
            # The last deletes; some peers take their time.
            time.sleep(0.3)
            counts = server.counts()
            requests = sum(
                count for action, count in counts.items() if action.startswith(("Receive", "Delete", "Change"))
            )
            return Result(jobs=last - at, seconds=ended - began, cpu=cpu, requests=requests / jobs)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            for child in _session(worker.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            log.close()


def _module(contender: Contender, directory: Path) -> Path:
    (directory / "bench.py").write_text(contender.source)
    (directory / "common.py").write_text(DONE)
    return directory


def _produce(contender: Contender, directory: Path, server: Endpoint, jobs: int, kind: str) -> tuple[float, float]:
    code = f"KIND, BODY, JOBS = {kind!r}, {BODY!r}, {jobs}\n{PRODUCE}"
    told = subprocess.run(
        [str(contender.python), "-c", code],
        cwd=directory,
        env=_environment(str(directory), server.url),
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode:
        raise RuntimeError(f"{contender.name} cannot produce: {told.stderr[-800:]}")
    seconds, cpu = map(float, told.stdout.split()[-2:])
    return seconds, cpu


def _environment(path: str, url: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SQS_TASKS_"))}
    return {
        **ours,
        "PYTHONPATH": path,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL_SQS": url,
    }


def _wait_for(path: Path) -> Path:
    deadline = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path.name} did not appear")
        time.sleep(0.005)
    return path


def _until(done: Path, count: int, worker: subprocess.Popen[bytes], patience: float) -> int | None:
    deadline = time.monotonic() + patience
    while True:
        size = done.stat().st_size if done.exists() else 0
        if size >= count:
            return size
        if worker.poll() is not None or time.monotonic() > deadline:
            return None
        time.sleep(0.005)


def _session(leader: int) -> list[int]:
    """The processes of a session; supervisors give their workers sessions of their own, so parents count too."""
    parents: dict[int, int] = {}
    sessions: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
    found = {pid for pid, session in sessions.items() if session == leader}
    while more := {pid for pid, parent in parents.items() if parent in found and pid not in found}:
        found |= more
    return sorted(found)


def _tree_cpu(leader: int) -> float:
    total = 0
    for pid in _session(leader):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


#: Both wait in a long poll of the same server; each sample wakes one and then the other.
LATENCY = """
import sys, threading, time
import boto3
from sqs_tasks import SQSEnv
from sqs_tasks.worker.consumer import Consumer

samples = int(sys.argv[1])
sqs, polling = boto3.client("sqs"), boto3.client("sqs")
url = sqs.create_queue(QueueName="bare")["QueueUrl"]
env = SQSEnv()
queue = env.queue("ours")
arrived, woken = threading.Event(), []

def woke():
    woken.append(time.perf_counter())
    arrived.set()

@queue.processor("task")
def task() -> None:
    woke()

def bare():
    while True:
        messages = polling.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", [])
        if messages:
            woke()
        for message in messages:
            polling.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

env.create_queues()
consumer = Consumer([queue], concurrency=4)
threading.Thread(target=consumer.run, daemon=True).start()
threading.Thread(target=bare, daemon=True).start()

def sample(send):
    time.sleep(0.03)  # both polls are on their way again
    arrived.clear()
    started = time.perf_counter()
    send()
    arrived.wait(10)
    return (woken[-1] - started) * 1000

sends = {"bare": lambda: sqs.send_message(QueueUrl=url, MessageBody="x"), "ours": task.delay}
times = {name: [] for name in sends}
for _ in range(samples + 20):
    for name, send in sends.items():
        times[name].append(sample(send))
for name in sends:
    of = sorted(times[name][20:])
    print(name, of[len(of) // 2], of[int(len(of) * 0.99)])
"""


def latency(samples: int) -> str:
    """Milliseconds from sending on an idle queue to the receiver's first line, as a table."""
    with endpoint() as server, tempfile.TemporaryDirectory() as name:
        told = subprocess.run(
            [sys.executable, "-c", LATENCY, str(samples)],
            cwd=name,
            env=_environment(name, server.url),
            capture_output=True,
            text=True,
            check=True,
        )
    rows = [line.split() for line in told.stdout.splitlines()]
    return "\n".join(
        [
            "",
            "## From `delay()` on an idle queue to the task's first line",
            "",
            f"{samples} samples; bare is a boto3 long poll in a loop, woken by `send_message` of the same endpoint.",
            "",
            "| | p50 | p99 |",
            "|---|---:|---:|",
            *(f"| {name} | {float(p50):.1f} ms | {float(p99):.1f} ms |" for name, p50, p99 in rows),
            "",
        ]
    )


KINDS = {
    "noop": "No-op jobs, one process",
    "io": "20 ms of I/O, 50 at once",
    "two": "No-op jobs, two processes",
    "five": "No-op jobs of five full queues, one process",
}


def memory(jobs: int) -> str:
    """The worker's resident memory after so many jobs and after a twentieth of them, over HTTP, as text."""
    (ours,) = (one for one in CONTENDERS if one.name == "ours")
    with endpoint() as server, tempfile.TemporaryDirectory() as name:
        directory = _module(ours, Path(name))
        few = jobs // 20
        _produce(ours, directory, server, few, "noop")
        worker = subprocess.Popen(
            [word.format(python=ours.python) for word in ours.consume["noop"]],
            cwd=directory,
            env=_environment(str(directory), server.url),
        )
        try:
            resident = []
            for sent in range(few, jobs + 1, few):
                if sent > few:
                    _produce(ours, directory, server, few, "noop")
                if _until(directory / "done", sent, worker, 120) is None:
                    raise RuntimeError("the worker did not finish")
                resident.append(
                    int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
                )
        finally:
            worker.kill()
            worker.wait()
    first, last = resident[0] / 2**20, resident[-1] / 2**20
    return (
        f"\n## Memory\n\nResident after {few} no-op jobs: {first:.1f} MiB, after {jobs}: {last:.1f} MiB "
        f"({last - first:+.1f}).\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[one.name for one in CONTENDERS])
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3, help="the medians of as many; peers get one")
    parser.add_argument("--samples", type=int, default=300, help="of the time from delay() to the task's first line")
    parser.add_argument(
        "--memory-jobs", type=int, default=200_000, help="jobs of the measurement of memory; 0 for none"
    )
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    contenders = [one for one in CONTENDERS if not options.only or one.name in options.only]
    results: dict[tuple[str, str], list[Result | None]] = {}
    for contender in contenders:
        contender.install()
    for number in range(options.rounds):
        for kind in ("produce", *KINDS):
            # One kind at a time, so that those who are compared run soon after each other, on the same machine's mood.
            for contender in contenders:
                if kind not in contender.kinds or (number and contender.is_peer):
                    continue
                jobs = options.jobs // contender.fewer.get(kind, 1)
                try:
                    if kind == "produce":
                        result = measure_producing(contender, jobs)
                    else:
                        result = measure_consuming(contender, jobs, kind, options.patience)
                except RuntimeError as error:
                    print(error)
                    result = None
                results.setdefault((contender.name, kind), []).append(result)
                told = "did not finish" if result is None else f"{result.per_second:.0f}/s"
                print(f"  {contender.name:15} {kind:8} {told}", flush=True)
    text = report(contenders, results, options.jobs) + latency(options.samples)
    if options.memory_jobs:
        text += memory(options.memory_jobs)
    print(text)
    if not options.no_write:
        page = ROOT / "docs" / "benchmarks.md"
        # What benchmarks/postponed.py and then schedules.py have written stays.
        _, heading, others = page.read_text().partition("\n## Jobs that are put off")
        page.write_text(text.rstrip("\n") + "\n" + heading + others)


def report(
    contenders: Sequence[Contender], results: Mapping[tuple[str, str], Sequence[Result | None]], jobs: int
) -> str:
    """The tables."""

    def ratio_to(base_kind: str, name: str, kind: str) -> str:
        """The median of what each round says."""
        pairs = zip(results.get((name, kind), ()), results.get(("bare", base_kind), ()), strict=False)
        ratios = sorted(one.per_cpu_second / base.per_cpu_second for one, base in pairs if one and base)
        return f"{ratios[len(ratios) // 2]:.2f}" if ratios else ""

    def median(name: str, kind: str) -> Result | None:
        found = [one for one in results.get((name, kind), ()) if one is not None]
        if not found:
            return None
        # Of each number by itself: a neighbour on the machine costs time, and not the same runs their CPU.
        seconds, cpu, requests = (
            sorted(numbers)[len(found) // 2]
            for numbers in zip(
                *((one.seconds / one.jobs, one.cpu / one.jobs, one.requests) for one in found), strict=True
            )
        )
        return Result(jobs=jobs, seconds=seconds * jobs, cpu=cpu * jobs, requests=requests)

    machine = f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()} {platform.system()}"
    versions = [f"boto3 {boto3.__version__}", *(contender.versions() for contender in contenders)]
    lines = [
        "# Benchmarks of the worker",
        "",
        f"Made by `{' '.join(['python', 'benchmarks/worker.py', *sys.argv[1:]])}`, which overwrites this page;",
        "`make bench` runs it with five thousand jobs for each benchmark. It is one run on one machine against the",
        "embedded SQS over HTTP, so compare the ratios, not the numbers. Bodies have 250 bytes. A ratio compares",
        "the jobs per CPU second with those of the bare boto3 loop, which runs just before. CPU is the time of all",
        'processes of the worker, without the server. The numbers of "bare" and "ours" are medians of several',
        "rounds; those of the other libraries are from one round.",
        "",
        f"{jobs} jobs each; {machine}; {', '.join(filter(None, versions))}.",
    ]
    for kind, title in {"produce": "Producing", **KINDS}.items():
        base_kind = kind if ("bare", kind) in results else "noop"
        lines += ["", f"## {title}", "", "| | jobs/s | per CPU second | ratio | requests/job | how |"]
        lines.append("|---|---:|---:|---:|---:|---|")
        for contender in contenders:
            if kind not in contender.kinds:
                continue
            one = median(contender.name, kind)
            how = contender.how.get(kind, "")
            if one is None:
                lines.append(f"| {contender.name} | did not finish | | | | {how} |")
                continue
            ratio = ratio_to(base_kind, contender.name, kind)
            if kind == "io":
                ratio = f"{one.per_second / (50 / 0.02):.2f} of ideal"
            lines.append(
                f"| {contender.name} | {one.per_second:.0f} | {one.per_cpu_second:.0f} | {ratio} | "
                f"{one.requests:.2f} | {how} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
