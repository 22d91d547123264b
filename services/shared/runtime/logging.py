"""Logs: one line per event, JSON for machines or columns for people, and no secret in either.

Every line carries `service`, `process` and `cache` (the last one within `cache_context`). What libraries log through
the standard library comes out the same way, from WARNING up unless the level is debug. Lines go to standard error,
because standard output belongs to what a command prints for its caller.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from services.shared.runtime.redaction import MASK, is_secret_name, mask_secrets
from services.shared.runtime.settings import ProcessSettings

_SHORTEST_KNOWN_SECRET = 6  # characters; a shorter one would blank out words that only contain it
_PLAIN = (int, float, bool, type(None))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger whose lines carry the module's name."""
    logger: FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


def configure_logging(
    settings: ProcessSettings,
    *,
    service: str,
    process: str,
    known_secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Set up logging for this process; again replaces what was set up before.

    Args:
        settings: Format and level.
        service: What the process is: `proxy`, `cdc`, …
        process: Which one of them it is: `proxy-0`.
        known_secrets: Passwords that must not appear in any line, in whatever shape.
        stream: Where lines go; None for standard error.
    """
    stream = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared = _processors(service, process, known_secrets)
    renderer = _renderer(settings, stream)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # a logger made at import time must follow a later configuration
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level if settings.log_level == "debug" else max(level, logging.WARNING))
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # its warnings quote statements, and change nothing
    logging.getLogger("aiokafka.conn").setLevel(
        max(level, logging.INFO)
    )  # below, it quotes what it sends: passwords too
    logging.captureWarnings(True)


@contextmanager
def cache_context(cache: str) -> Iterator[None]:
    """Put the cache's name on every line that is logged inside, also by tasks that are started inside."""
    with structlog.contextvars.bound_contextvars(cache=cache):
        yield


def _processors(service: str, process: str, known_secrets: Iterable[str]) -> list[Processor]:
    def add_origin(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", service)
        event.setdefault("process", process)
        event.setdefault("cache", "")
        return event

    return [
        structlog.contextvars.merge_contextvars,
        add_origin,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,  # text without local variables: those hold rows and passwords
        SecretMasker(known_secrets),
    ]


def _renderer(settings: ProcessSettings, stream: TextIO) -> list[Processor]:
    if settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty()):
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    return [structlog.processors.EventRenamer("event"), structlog.processors.JSONRenderer(ensure_ascii=False)]


class SecretMasker:
    """A processor that leaves no password in an event: by name, by the shape of its text, and by being known."""

    def __init__(self, known_secrets: Iterable[str] = ()) -> None:
        longest_first = sorted(set(known_secrets), key=len, reverse=True)
        self._known = tuple(secret for secret in longest_first if len(secret) >= _SHORTEST_KNOWN_SECRET)

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> MutableMapping[str, Any]:
        """Mask one event."""
        return {name: self._masked(name, value) for name, value in event.items()}

    def _masked(self, name: str, value: object) -> object:
        if isinstance(value, _PLAIN) or name.startswith("_"):
            return value  # names with an underscore are structlog's own; they never reach a line
        if is_secret_name(name):
            return MASK
        if isinstance(value, str):
            return self._mask_text(value)
        if isinstance(value, Mapping):
            return {self._mask_text(str(key)): self._masked(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self._masked("", item) for item in value]
        if isinstance(value, BaseException):
            return self._mask_text(f"{type(value).__name__}: {value}" if str(value) else type(value).__name__)
        return self._mask_text(str(value))

    def _mask_text(self, text: str) -> str:
        for secret in self._known:
            text = text.replace(secret, MASK)
        return mask_secrets(text)
