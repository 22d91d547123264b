"""A query and a transaction: what a failure is stored as, as JSON that a person can read and change.

    {"why": "…", "setup": ["CREATE TABLE …"], "query": "SELECT …", "parameters": [["int4", "text", "5"]],
     "transaction": ["UPDATE …"]}

A parameter is the type that the client declares for it (empty: none), its format, and its value: null for NULL, a text,
or in binary format hexadecimal digits.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Parameter:
    """A value of a Bind message.

    Attributes:
        declared: Name of the declared type; empty when Postgres is to find it out.
        is_binary: Its format.
        value: None is NULL.
    """

    declared: str
    is_binary: bool
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with its parameters."""

    text: str
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A query, and a transaction that may change its answer.

    Attributes:
        setup: Statements that make tables and rows. Every ordinary table is published afterwards.
    """

    why: str
    setup: tuple[str, ...]
    query: Query
    transaction: tuple[str, ...]


class CaseError(ValueError):
    """A file that is no case."""


def write_case(case: Case) -> str:
    """Return a case as JSON."""
    found = {
        "why": case.why,
        "setup": list(case.setup),
        "query": case.query.text,
        "parameters": [_written(parameter) for parameter in case.query.parameters],
        "transaction": list(case.transaction),
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def read_case(text: str) -> Case:
    """Read what `write_case` wrote.

    Raises:
        CaseError: It is something else.
    """
    try:
        found = json.loads(text)
        parameters = tuple(_parameter(*parameter) for parameter in found.get("parameters", ()))
        setup, transaction = tuple(map(str, found["setup"])), tuple(map(str, found["transaction"]))
        return Case(str(found["why"]), setup, Query(str(found["query"]), parameters), transaction)
    except (ValueError, TypeError, KeyError) as error:
        raise CaseError(f"not a case: {error!r}") from error


def _written(parameter: Parameter) -> list[str | None]:
    value = parameter.value
    if parameter.is_binary:
        return [parameter.declared, "binary", None if value is None else value.hex()]
    return [parameter.declared, "text", None if value is None else value.decode()]


def _parameter(declared: str, written_as: str, value: str | None) -> Parameter:
    if written_as == "binary":
        return Parameter(declared, True, None if value is None else bytes.fromhex(value))
    return Parameter(declared, False, None if value is None else value.encode())
