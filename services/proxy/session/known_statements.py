"""What is known of statements by what names them in a turn, so that a turn that comes again need not be planned again.

Most turns differ from an earlier one in the values of their parameters alone. A *route* is all of a plan that does not
depend on them: that the statement is forwarded, why, and what it may change; or that its answers may be cached, and the
beginning of their keys. It holds for all sessions in which statement names and settings mean the same, and for one
reading of the catalog. Pure.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple

from services.proxy.admission.economy import Economy
from services.proxy.session.demand import Demand
from services.proxy.session.entry_key import begin_key, end_key
from services.proxy.session.planning import Effect, Plan, with_rows
from services.proxy.session.prepared import Prepared, meaning_of
from services.proxy.session.requests import Request
from services.proxy.session.state import SessionState
from services.proxy.session.templates import Promise, Template, Templates
from services.proxy.session.turn_form import NO_VALUES, Bound, TurnForm, read_bound
from services.proxy.sql.block_statement import BlockStep, block_statement
from services.proxy.sql.directives import NO_DIRECTIVES
from services.proxy.sql.inputs import relative_time_input, relative_time_literal
from services.proxy.sql.verdict import NameSpace

_MOST_ROUTES = 1_000  # of one table; what is forgotten is planned once more
# What is run by these words, and does nothing to the session by its effect, leaves nothing behind but what it wrote.
_PLAIN_KEYWORDS = frozenset(("SELECT", "WITH", "VALUES", "TABLE", "INSERT", "UPDATE", "DELETE"))


class Route(NamedTuple):
    """What is known of a statement, whatever its values are.

    Attributes:
        catalog: Number of the catalog that it rests on.
        template: Its analysis.
        prepared: What the unnamed statement means behind the turn, or the statement that an earlier turn prepared.
        effect: What it may change.
        refusal: Why it is forwarded; empty for a cacheable read.
        digest: The beginning of the keys of its answers; None where a literal is a part of them, or none is kept.
        settings: Digests of the settings that its answers rest on.
    """

    catalog: int
    template: Template
    prepared: Prepared | None
    effect: Effect
    refusal: str
    digest: blake2b | None
    settings: tuple[bytes | None, ...]

    def plan(self, form: TurnForm, template: Template, bound: Bound, state: SessionState, demanded: Demand) -> Plan:
        """Plan a read, as `planning` would.

        Args:
            form: The turn's form.
            template: The analysis of its very text.
            bound: Its values.
            state: The session's state.
            demanded: How fresh an answer has to be, which these sessions do not have in common.
        """
        request = self.request(form, bound)
        begun = self.digest
        if begun is None:
            begun = begin_key(template.lexed, template.analysis.fingerprint, state.key)
        key = end_key(begun.copy(), request, settings=self.settings)
        return Plan("", self.effect, request, template, key, catalog=self.catalog, demand=demanded)

    def effect_of(self, data: bytes, form: TurnForm, template: Template) -> Effect:
        """Return what a turn may change, with the rows that its values name.

        Args:
            data: The turn.
            form: Its form.
            template: The analysis of its very text.
        """
        if template.analysis.effect.rows is None:
            return self.effect
        bound = NO_VALUES if form.simple else read_bound(data, form)
        if bound is None:
            return self.effect
        return with_rows(self.effect, template, self.catalog, self.request(form, bound))

    def request(self, form: TurnForm, bound: Bound) -> Request:
        """Return what a turn of this route asks."""
        prepared, parses, simple = self.prepared, form.parses, form.simple
        return Request(
            text=form.head if prepared is None else prepared.text,
            parameter_types=() if prepared is None else prepared.parameter_types,
            parameter_formats=bound.parameter_formats,
            values=bound.values,
            result_formats=bound.result_formats if any(bound.result_formats) else (),
            row_limit=form.row_limit,
            described=form.described,
            parses=parses,
            sets_unnamed=parses or simple,
            unnamed=prepared if parses else None,
            simple=simple,
            depends_on_unnamed=False,
            prepared_before=None if parses or simple else prepared,
            bound=bound.raw,
        )


_UNKNOWN: tuple[int, Route | None] = (0, None)  # catalogs are numbered from 1

ReadTurn = Callable[[], Request | None]
"""Reads what a turn asks, message by message; None where it cannot be read."""


class KnownStatements:
    """The routes of sessions in which names and settings mean the same."""

    __slots__ = ("_in_block", "_name_space", "_routes")

    def __init__(self, name_space: NameSpace, *, in_block: bool = False) -> None:
        """Know nothing yet.

        Args:
            name_space: Where names of these sessions are looked up.
            in_block: They are in a block of Postgres's, where what ends it has a route as well.
        """
        self._name_space = name_space
        self._in_block = in_block
        self._routes: dict[bytes | Economy, tuple[int, Route | None]] = {}

    def find(
        self, form: TurnForm, templates: Templates, state: SessionState, read: ReadTurn
    ) -> tuple[Route, Template] | None:
        """Return the route of a turn's statement, and the analysis of its very text; None where it has none.

        Args:
            form: The turn's form.
            templates: Analyses.
            state: The session's state.
            read: Called where the statement was not looked at before.
        """
        template: Template | None = None
        head: bytes | Economy = form.head
        if form.simple:
            template = templates.find(form.head, self._name_space)
            if template is None or not self._has_route(template, templates.promise):
                return None
            head = template.economy  # one for all texts of a template
        number, route = self._routes.get(head, _UNKNOWN)
        if number != templates.number:
            request = read()
            if request is None:
                return None
            if len(self._routes) >= _MOST_ROUTES:
                self._routes.clear()
            route = self._look_at(request, templates, state)
            self._routes[head] = templates.number, route
        return None if route is None else (route, template or route.template)

    def _look_at(self, request: Request, templates: Templates, state: SessionState) -> Route | None:
        """Find out all that does not depend on values; None where something may that cannot be seen here."""
        template, before = templates.find(request.text, self._name_space), request.prepared_before
        if template is None or not self._has_route(template, templates.promise):
            return None
        if before is not None and before.meaning != meaning_of(template, state.reading):
            return None  # its names or its literals mean something else now, or it is not known
        analysis, does = template.analysis, template.analysis.effect
        if does.changes_session:  # as whatever may change the catalog does, and several statements at once
            return None
        settings = state.digests(analysis.settings)
        if settings is None:
            return None
        digest: blake2b | None = None
        if analysis.cacheable and not (request.simple and template.lexed.literals):
            digest = begin_key(template.lexed, analysis.fingerprint, state.key)
        return Route(
            templates.number,
            template,
            before or request.unnamed,
            Effect(does.writes),
            str(analysis.reason),
            digest,
            settings,
        )

    def _has_route(self, template: Template, promise: Promise) -> bool:
        """Tell whether a text is of a kind that leaves nothing behind but what it wrote, or an ended block."""
        plain = template.lexed.keyword in _PLAIN_KEYWORDS or (self._in_block and ends_block(template))
        return plain and _is_plain(template, promise)


def ends_block(template: Template) -> bool:
    """Tell whether all that a statement does is to end the block that it is run in."""
    found = block_statement(template.lexed)
    return found is not None and found.step is not BlockStep.BEGIN


def depends_on_values(bound: Bound) -> bool:
    """Tell whether a parameter may be read as a moment relative to now, which decides over the whole turn."""
    return any(value is not None and relative_time_input(value) for value in bound.values)


def _is_plain(template: Template, promise: Promise) -> bool:
    """Tell whether a text has nothing about it that makes its turns differ from those of its template."""
    return not (
        template.directives is not NO_DIRECTIVES
        or template.reads_token
        or (template.analysis.ageing and promise.ageing_ttl)
        or (template.analysis.cacheable and relative_time_literal(template.lexed))
    )
