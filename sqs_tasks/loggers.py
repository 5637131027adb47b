"""The loggers of the library, which the application's set-up of logging must not switch off by accident.

``logging.config.dictConfig`` and ``fileConfig`` disable every logger that exists already and that they do not name,
unless told otherwise. An application imports this library first and sets up its logging afterwards, so a failing job
would leave no line. Levels and handlers are the application's to choose; that is how it silences us on purpose.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterator

#: The first part of the names of our loggers.
NAME = "sqs_tasks"


class _KeptLogger(logging.Logger):
    """A logger that stays enabled."""

    # A logger is true, so this says that it is not disabled; a function in C, since each job asks. It stays as it is.
    disabled = property(operator.not_, lambda _, __: None)


def keep_loggers() -> None:
    """Enable the loggers of this library, for good; what runs jobs calls it before it begins."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if name.partition(".")[0] == NAME and isinstance(logger, logging.Logger):
            _keep(logger)


def kept_logger(name: str) -> logging.Logger:
    """The logger of a module that is imported after :func:`keep_loggers`, and may be before a task's set-up."""
    logger = logging.getLogger(name)
    _keep(logger)
    return logger


def all_handlers() -> Iterator[logging.Handler]:
    """The handlers of all loggers, of the application and of other libraries too."""
    yield from logging.root.handlers
    for logger in list(logging.root.manager.loggerDict.values()):
        if isinstance(logger, logging.Logger):
            yield from logger.handlers


def _keep(logger: logging.Logger) -> None:
    if type(logger) is logging.Logger:
        logger.__class__ = _KeptLogger
    elif not isinstance(logger, _KeptLogger):
        logger.disabled = False  # the application's own class of loggers
