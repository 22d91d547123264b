"""Log lines: they say whose they are, and hold no secret however it got in."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from services.shared.runtime.logging import cache_context, configure_logging, get_logger
from services.shared.runtime.settings import ProcessSettings


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)
    structlog.reset_defaults()


def _configured(level: str = "info", log_format: str = "json", secrets: tuple[str, ...] = ()) -> io.StringIO:
    stream = io.StringIO()
    settings = ProcessSettings.model_validate({"log_level": level, "log_format": log_format})
    configure_logging(settings, service="cdc", process="cdc", known_secrets=secrets, stream=stream)
    return stream


def _lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_every_line_carries_service_process_and_cache() -> None:
    stream = _configured()
    get_logger("a.module").info("began", lsn="0/16")
    with cache_context("shop"):
        get_logger("a.module").warning("went on")
        logging.getLogger("aiokafka").warning("node %s is gone", 1)
    began, went_on, foreign = _lines(stream)
    assert {name: began[name] for name in ("service", "process", "cache", "event", "level", "lsn", "module")} == {
        "service": "cdc", "process": "cdc", "cache": "", "event": "began", "level": "info", "lsn": "0/16",
        "module": "a.module",
    }  # fmt: skip
    assert began["timestamp"].endswith("Z")
    assert went_on["cache"] == "shop"
    assert (foreign["event"], foreign["service"], foreign["logger"]) == ("node 1 is gone", "cdc", "aiokafka")


def test_the_level_holds_and_libraries_are_quieter() -> None:
    stream = _configured()
    get_logger("m").debug("unheard")
    logging.getLogger("asyncpg").info("unheard")
    assert stream.getvalue() == ""
    stream = _configured(level="debug")
    get_logger("m").debug("heard")
    logging.getLogger("asyncpg").info("heard")
    assert len(_lines(stream)) == 2


def test_a_logger_made_before_the_configuration_follows_it() -> None:
    early = get_logger("m")
    stream = _configured()
    early.info("heard")
    assert _lines(stream)[0]["event"] == "heard"


def test_for_people_it_is_no_json() -> None:
    stream = _configured(log_format="console")
    get_logger("m").info("began", lsn="0/16")
    assert "began" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


class _Chatty:
    def __str__(self) -> str:
        return "<connection to postgresql://app:hunter2!@db/shop>"


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_no_secret_is_in_any_line(log_format: str, level: str) -> None:
    stream = _configured(level, log_format, secrets=("0pen-sesame",))
    log = get_logger("m")
    log.info("connecting to postgresql://app:hunter2!@db/shop")
    log.info("event", url="redis://:hunter2!@r/0", password="hunter2!", nested={"sasl_password": "hunter2!", "a": [1]})
    log.info(
        "event", parts=["password=hunter2!", ("postgresql://a:hunter2!@b",)], error=ValueError("password='hunter2!'")
    )
    log.info("event", settings=SecretStr("hunter2!"), thing=_Chatty())
    log.info("the server said: role with 0pen-sesame is wrong", shown={"0pen-sesame": "0pen-sesame"})
    logging.getLogger("aiokafka").error("cannot reach %s", "kafka://app:hunter2!@k:9092", exc_info=True)
    logging.getLogger("aiokafka").error("sasl_plain_password=%s", "hunter2!")
    try:
        raise RuntimeError("postgresql://app:hunter2!@db/shop")
    except RuntimeError:
        local = "hunter2!"
        assert local
        log.exception("failed")
        logging.getLogger("asyncio").exception("failed")
    text = stream.getvalue()
    assert "hunter2" not in text.replace('local = "hunter2!"', "")
    assert "0pen-sesame" not in text
    assert text.count("***") >= 12


def test_what_is_sent_to_kafka_is_in_no_line_at_the_lowest_level() -> None:
    """Its client quotes requests there, and a request may be a login."""
    stream = _configured("debug")
    logging.getLogger("aiokafka.conn").debug("Request: %r", b"\0app\0hunter2!")
    logging.getLogger("aiokafka.client").debug("metadata")
    assert [line["event"] for line in _lines(stream)] == ["metadata"]


def test_a_python_warning_becomes_a_line() -> None:
    stream = _configured()
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(True)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert "old thing" in _lines(stream)[0]["event"]
