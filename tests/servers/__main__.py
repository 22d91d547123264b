"""Fetch every server and every driver that the tests use, so that the tests themselves wait for nothing.

`python -m tests.servers`, which `make servers` runs.
"""

import sys
import time
from collections.abc import Callable

from tests.servers.compose import compose_command
from tests.servers.driver_programs import go_command, java_command, node_command
from tests.servers.kafka import KafkaServer
from tests.servers.postgres_programs import VERSIONS, programs_of
from tests.servers.processes import ServerError
from tests.servers.redis import FLAVOURS, program_of


def main() -> int:
    """Fetch them one by one and say how long each took; return the number that cannot be had."""
    missing = 0
    steps: list[tuple[str, Callable[[], object]]] = [
        *((f"Postgres {version}", lambda version=version: programs_of(version)) for version in VERSIONS),
        *((flavour.capitalize(), lambda flavour=flavour: program_of(flavour)) for flavour in FLAVOURS),
        ("Kafka", _start_kafka),
        ("Compose", lambda: " ".join(compose_command())),
        ("Node clients", lambda: node_command("pg.mjs")[-1]),
        ("Java client", lambda: java_command("Ring")[-2]),
        ("Go client", lambda: go_command()[-1]),
    ]
    for name, fetch in steps:
        sys.stdout.write(f"{name:<14}")
        sys.stdout.flush()
        started = time.monotonic()
        try:
            place = fetch()
        except ServerError as error:
            missing += 1
            sys.stdout.write(f"MISSING: {error}\n")
        else:
            sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {place}\n")
    return missing


def _start_kafka() -> str:
    with KafkaServer() as server:
        return f"starts ({server.bootstrap})"


if __name__ == "__main__":
    sys.exit(main())
