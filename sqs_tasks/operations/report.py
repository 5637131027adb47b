"""What an operation on letters has done, and what it could not."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqs_tasks.operations.letter import Letter


@dataclass(kw_only=True)
class Report:
    """What became of the letters of one queue; counted while the operation goes on.

    Attributes:
        done: Letters that were retried, moved, dropped or written.
        matched: Letters that were meant.
        seen: Letters that were looked at.
        behind: Letters of a FIFO queue that could not be seen: others of their group stood before them.
        hidden: Letters that nobody can receive at present: somebody has received them, or they are delayed.
        doubtful: The letter with which a send got no answer, or whose original could not be deleted: its job may be in
            both queues. There is never more than one, since the operation ends with it.
        problem: Why the operation ended before its end; empty otherwise.
        stopped: Whether somebody stopped it.
        ids: The ids of the letters that were done.
    """

    done: int = 0
    matched: int = 0
    seen: int = 0
    behind: int = 0
    hidden: int = 0
    doubtful: Letter | None = None
    problem: str = ""
    stopped: bool = False
    ids: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether all that was meant is done."""
        return not self.problem and not self.stopped

    def why_none(self) -> str:
        """Why nothing was done, in words; empty when something was."""
        if self.done or self.problem:
            return ""
        if self.stopped:
            return "it was stopped"
        if self.matched:
            return "this was a dry run"
        hidden = self.hidden
        held = f"{hidden} cannot be received at present: somebody has received {'it' if hidden == 1 else 'them'}, or "
        held += f"{'it is' if hidden == 1 else 'they are'} delayed"
        if self.seen:
            return f"none of {self.seen} fits the selection" + (f"; {held}" if hidden else "")
        return held if hidden else "the dead-letter queue is empty"
