"""The books of a chaos run: what was sent, what ran, what could have made it run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from sqs_tasks.worker.settlement_buffer import MAX_UNSETTLED

#: What a worker process of these runs takes with it when it dies: jobs that run or wait (concurrency and prefetch), what
#: is done and waits to be settled, and the request under way.
AT_RISK = 20 + MAX_UNSETTLED + 10

#: Messages of one request, whose verdicts are lost together.
MOST_IN_A_REQUEST = 10

#: One job of so many may run again without a cause: a machine that is too busy for heartbeats for a whole lease.
CAUSELESS_FOR_EACH = 2_000

#: Faults of the network after which SQS may not know what the worker knows.
LOSING = ("cut", "cut answer", "error", "throttle", "hang")


@dataclass
class Books:
    """What is known at the end of a run, and whether it balances.

    Attributes:
        sent: How many jobs, numbered from 0.
        poison: The numbers of the poisoned jobs, which count by themselves.
        steps: How many steps each FIFO group has.
        dead_processes: Worker processes that were killed or crashed.
        events: How often each thing was done to the workers.
        faults: How many faults the network had, by kind.
        ran: How often each job ran to its end.
        again: Runs again although the process of the run before lived on.
        causeless: Those of them for which no request about the message was lost either.
        lost_handles: The checksums of the receipt handles in requests whose answer was lost.
        steps_ran: The steps of each group, as they ran.
        dead_letters: How many letters each poisoned job has.
        codes: What supervisors exited with that were asked to stop, by how they were asked.
        seconds: How long it took.
    """

    sent: int = 0
    poison: set[int] = field(default_factory=set)
    steps: Counter[str] = field(default_factory=Counter)
    dead_processes: set[int] = field(default_factory=set)
    events: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    ran: Counter[int] = field(default_factory=Counter)
    again: int = 0
    causeless: int = 0
    lost_handles: set[int] = field(default_factory=set)
    crashes: int = 0
    steps_ran: dict[str, list[int]] = field(default_factory=dict)
    dead_letters: Counter[int] = field(default_factory=Counter)
    codes: dict[str, Counter[int]] = field(default_factory=dict)
    seconds: float = 0

    def read(self, lines: Iterable[str]) -> None:
        """Enter what the tasks noted down."""
        last: dict[int, tuple[str, int, int]] = {}
        crashes = []
        for line in lines:
            kind, *values, process, handle = line.split()
            if kind == "step":
                self.steps_ran.setdefault(values[0], []).append(int(values[1]))
                continue
            if kind == "crash":
                crashes.append(int(process))
                continue
            number = int(values[0])
            self.ran[number] += 1
            if number in last:
                self._repeated.append(last[number])
            last[number] = kind, int(process), int(handle)
        self.crashes += len(crashes)
        self.dead_processes |= set(crashes)
        alive = [(kind, handle) for kind, process, handle in self._repeated if process not in self.dead_processes]
        self.again = len(alive)
        # What was put off is two messages when an answer to its copy was lost, whose handles say nothing.
        self.causeless = sum(kind != "put_off" and handle not in self.lost_handles for kind, handle in alive)

    def __post_init__(self) -> None:
        self._repeated: list[tuple[str, int, int]] = []

    @property
    def twice(self) -> int:
        """Runs beyond the first."""
        return self.ran.total() - len(self.ran)

    def explained(self) -> int:
        """How many runs may be repetitions: what died with a process, and the verdicts of requests without an answer."""
        return MOST_IN_A_REQUEST * self.losses + AT_RISK * len(self.dead_processes)

    @property
    def losses(self) -> int:
        """Requests whose answer was lost."""
        return sum(self.faults[fault] for fault in LOSING)

    def problems(self) -> list[str]:
        """Why the books do not balance; empty when they do."""
        found = []
        if lost := set(range(self.sent)) - set(self.ran):
            found.append(f"{len(lost)} jobs of {self.sent} never ran: {sorted(lost)[:20]}")
        if unknown := set(self.ran) - set(range(self.sent)):
            found.append(f"jobs ran that nobody sent: {sorted(unknown)[:20]}")
        if self.twice > self.explained():
            found.append(f"{self.twice} jobs ran again, and kills and lost answers explain {self.explained()}")
        alive = MOST_IN_A_REQUEST * self.losses
        if self.again > alive:
            found.append(
                f"{self.again} jobs ran again although their process lived on, and lost answers explain {alive}"
            )
        if self.causeless > self.sent // CAUSELESS_FOR_EACH:
            found.append(f"{self.causeless} jobs ran again without a cause: no kill, and no lost answer about them")
        if set(self.dead_letters) != self.poison:
            found.append(f"the dead letters are not the poison: {set(self.dead_letters) ^ self.poison}")
        letters = self.dead_letters.total() - len(self.poison)
        if letters > len(self.dead_processes) + self.losses:
            found.append(f"{letters} dead letters too many")
        for group, count in self.steps.items():
            ran = self.steps_ran.get(group, [])
            # At least once and in order: after a repetition it goes on from there, nothing is skipped or overtaken.
            if sorted(set(ran)) != list(range(count)) or ran[0] != 0:
                found.append(f"group {group}: {len(set(ran))} of {count} steps ran")
            elif any(after > before + 1 for before, after in pairwise(ran)):
                found.append(f"group {group}: a step was skipped or overtaken: {ran}")
        # 1: a worker process was killed in the very last moment.
        for asked, codes in self.codes.items():
            if not set(codes) <= ({0, 1, 143} if asked == "later again" else {0, 1}):
                found.append(f"exit codes of supervisors that were asked to stop {asked}: {dict(codes)}")
        return found

    def text(self) -> str:
        """The books in two lines."""
        events = ", ".join(f"{count} {what}" for what, count in sorted(self.events.items()))
        codes = {asked: dict(codes) for asked, codes in self.codes.items()}
        return (
            f"{self.sent} jobs and {self.steps.total()} FIFO steps in {self.seconds:.0f} s; {events}, {self.crashes} "
            f"segfaults; network {dict(self.faults)}; exit codes {codes}\n"
            f"lost {self.sent - len(self.ran)}; ran again {self.twice}, of them {self.twice - self.again} after their "
            f"process died ({self.explained()} explained), {self.causeless} without a cause; dead letters {self.dead_letters.total()} for {len(self.poison)} poisoned; FIFO "
            f"steps again {sum(map(len, self.steps_ran.values())) - self.steps.total()}"
        )
