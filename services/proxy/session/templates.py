"""What the proxy knows of a statement's text: analysed once per template, found again by a dictionary look-up.

Bounded: the least lately used texts and templates are forgotten. A new catalog forgets every analysis that it may
touch (`catalog_changes.py`), since a name may mean something else in it.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from services.proxy.admission.economies import Economies, Identity
from services.proxy.admission.economy import Economy
from services.proxy.session.write_token import reads_token
from services.proxy.sql.catalog_changes import changes_between
from services.proxy.sql.directives import MARK, NO_DIRECTIVES, Directives, read_directives
from services.proxy.sql.lexer import LexError
from services.proxy.sql.snapshot import Catalog
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.verdict import Analysis, NameSpace, analyse, unanalysable
from services.shared.runtime.settings import Consistency

_TEXTS_BYTES = 64 * 1024 * 1024  # of remembered texts with their literals, by estimate
_TEXT_OVERHEAD_BYTES = 700  # a Template with its Lexed, key and dictionary cell
_LITERAL_BYTES = 160  # a Literal and its text: a list of a thousand numbers costs far more than its text
_TEMPLATES = 5_000
_MAX_TEXT_BYTES = 64 * 1024  # longer statements are forwarded without a look


class Template(NamedTuple):
    """One analysed statement text in one name space.

    Attributes:
        lexed: The text, cut into tokens.
        analysis: What was found out about all texts of this form.
        economy: What caching them costs and yields.
        directives: What the comments in this text ask for.
        reads_token: It may show the session's token.
    """

    lexed: Lexed
    analysis: Analysis
    economy: Economy
    directives: Directives = NO_DIRECTIVES
    reads_token: bool = False


@dataclass(frozen=True, slots=True)
class Promise:
    """How fresh a cache's answers are.

    Attributes:
        consistency: Its level.
        max_staleness: Its bound, in seconds.
        ageing_ttl: For how many seconds it serves answers that age; 0: not at all.
        clock: Name of the clock that tells their age; part of their keys.
    """

    consistency: Consistency
    max_staleness: float
    ageing_ttl: float = 0.0
    clock: bytes = b""


USUAL = Promise(Consistency.SESSION, 1.0)


class Templates:
    """Analyses of one cache in one worker.

    Attributes:
        promise: What the cache promises without being asked for something else.
        economies: What caching a template costs and yields; a new catalog changes nothing about that.
        number: Of the catalog that the analyses are of, counted from 1.
    """

    def __init__(self, promise: Promise = USUAL, economies: Economies | None = None) -> None:
        self.promise = promise
        self.economies = economies or Economies()
        self.number = 0
        self._catalog: Catalog | None = None
        self._texts_bytes = 0
        self._texts_complete = True  # of each that can be read, the template is known
        self._by_text: OrderedDict[tuple[bytes, NameSpace], Template] = OrderedDict()
        self._by_template: OrderedDict[Identity, Template] = OrderedDict()

    @property
    def catalog(self) -> Catalog | None:
        """The catalog that the analyses are of; None until the first was read."""
        return self._catalog

    @property
    def policy_settings(self) -> tuple[str, ...]:
        """Names of the settings that sessions have to be asked for, too."""
        return self._catalog.policy_settings if self._catalog is not None else ()

    def use(self, catalog: Catalog) -> None:
        """Analyse against another catalog from now on; what it does not touch is not analysed again."""
        changes = changes_between(self._catalog, catalog) if self._catalog is not None else None
        self._catalog = catalog
        self.number += 1
        for identity, template in list(self._by_template.items()):
            if changes is None or changes.touches(template.lexed.template):
                del self._by_template[identity]
                self._texts_complete = False
        if not self._texts_complete:
            self._forget_texts()

    def find(self, text: bytes, name_space: NameSpace) -> Template | None:
        """Return the analysis of a statement, or None when there is no catalog yet or the text cannot be one."""
        known = self._by_text.get((text, name_space))
        if known is not None:
            self._by_text.move_to_end((text, name_space))
            return known
        if self._catalog is None or len(text) > _MAX_TEXT_BYTES:
            return None
        template = self._analyse(text, name_space, self._catalog)
        self._by_text[text, name_space] = template
        self._texts_bytes += _cost(text, template)
        while self._texts_bytes > _TEXTS_BYTES:
            (oldest, _), forgotten = self._by_text.popitem(last=False)
            self._texts_bytes -= _cost(oldest, forgotten)
        return template

    def _forget_texts(self) -> None:
        """Forget the texts of which the template was forgotten."""
        kept = {id(template.analysis) for template in self._by_template.values()}
        for (text, name_space), template in list(self._by_text.items()):
            if id(template.analysis) not in kept:
                del self._by_text[text, name_space]
                self._texts_bytes -= _cost(text, template)
        self._texts_complete = True

    def _analyse(self, text: bytes, name_space: NameSpace, catalog: Catalog) -> Template:
        try:
            lexed = lex(text.decode())
        except (LexError, UnicodeDecodeError):
            return Template(Lexed.empty(), unanalysable(), Economy(self.economies.prices))
        identity = (lexed.template, name_space)
        known = self._by_template.get(identity)
        if known is None:
            known = Template(lexed, analyse(lexed, catalog, name_space), self.economies.of(identity))
            self._by_template[identity] = known
            if len(self._by_template) > _TEMPLATES:
                self._by_template.popitem(last=False)
                self._texts_complete = False
        else:
            self._by_template.move_to_end(identity)
        directives = read_directives(text.decode()) if MARK in text else NO_DIRECTIVES
        return Template(lexed, known.analysis, known.economy, directives, reads_token(text))


def _cost(text: bytes, template: Template) -> int:
    """Return the bytes that a remembered text takes, by estimate."""
    return _TEXT_OVERHEAD_BYTES + len(text) + _LITERAL_BYTES * len(template.lexed.literals)
