"""Whatever the text: lexing gives a template that says the same, or a LexError."""

from hypothesis import given
from hypothesis import strategies as st

from services.proxy.sql.lexer import LexError
from services.proxy.sql.template import Lexed, lex
from services.proxy.sql.tokens import TokenError, TokenKind, tokenise
from services.proxy.sql.verdict import NameSpace, analyse
from tests.unit.sql.small_catalog import small_catalog

CATALOG = small_catalog()
PUBLIC = NameSpace(("pg_catalog", "public"))

_words = st.sampled_from(
    "SELECT select FROM users Users a B1 c$2 é É e n u x WHERE and OR between like in is now not null as on".split()
)
_literals = st.one_of(
    st.integers(0, 10**20).map(str),
    st.decimals(0, 10**6, allow_nan=False, allow_infinity=False, places=3).map(str),
    st.sampled_from(["1e10", ".5", "1.", "0x1F", "1_000", "B'01'", "X'1f'", "N'n'", "U&'\\0041'"]),
    # No backslash: after a line break behind an E'...' it would begin an escape.
    st.text(alphabet="ab' \n-*/$\"é{};", max_size=8).map(lambda text: "'" + text.replace("'", "''") + "'"),
    st.text(alphabet='ab \n-*/"é{};', max_size=8).map(lambda text: f"E'{text}\\'\\n'"),
    st.text(alphabet="ab' \n\\-*/\"é{};", max_size=8).map(lambda text: f"$t${text}$t$"),
)
_quoted = st.text(alphabet='aB" \n{}é;', min_size=1, max_size=6).map(lambda text: '"' + text.replace('"', '""') + '"')
_marks = st.sampled_from(
    ["(", ")", ",", ".", "[", "]", "::", "=", "<>", "->>", "?", "@>", "*", "+", "-", "/", ";", "$1"]
)
_gaps = st.sampled_from([" ", "  ", "\n", "\t", " /* x 'y' /* z */ */ ", " -- 'x' \"y\"\n", " -- ;\n"])
_pieces = st.one_of(_words, _literals, _quoted, _marks)


@st.composite
def statements(draw: st.DrawFn) -> str:
    """Give text made of tokens with gaps between all of them, so that nothing runs together."""
    pieces = draw(st.lists(st.tuples(_pieces, _gaps), max_size=15))
    return "".join(piece + gap for piece, gap in pieces)


@given(st.text(max_size=60))
def test_any_text_gives_a_template_or_a_lex_error(text: str) -> None:
    _check_any(text)


@given(st.text(alphabet="abeEnNxXuU&'\"$1.0_-/*; \n\\{}:=?", max_size=40))
def test_text_of_difficult_characters_gives_a_template_or_a_lex_error(text: str) -> None:
    _check_any(text)


@given(statements())
def test_statements_are_put_together_again(text: str) -> None:
    lexed = lex(text)
    assert lex(lexed.text) == lexed
    literals = [token for token in _tokens(lexed) if token[0] is TokenKind.LITERAL]
    assert len(literals) == len(lexed.literals)


@given(statements(), st.lists(_gaps, min_size=1, max_size=3))
def test_gaps_do_not_matter(text: str, gaps: list[str]) -> None:
    """Only between a literal and another does a line break mean something."""
    lexed = lex(text)
    if "} {" in lexed.template:
        return
    padded = "".join(gaps) + lexed.template.replace(" ", " " + "".join(gaps))
    if '"' not in lexed.template:
        again = lex(_fill(padded, lexed))
        assert (again.template, again.literals) == (lexed.template, lexed.literals)


@given(statements())
def test_analysis_never_fails(text: str) -> None:
    analysis = analyse(lex(text), CATALOG, PUBLIC)
    assert analysis.cacheable == (analysis.reason == "")
    assert bool(analysis.relations) == (analysis.cacheable or bool(analysis.ageing))


@given(st.lists(_pieces, max_size=12).map(" ".join))
def test_analysis_of_reads_never_fails(text: str) -> None:
    analysis = analyse(lex("SELECT a FROM users WHERE " + text), CATALOG, PUBLIC)
    assert analysis.cacheable == (analysis.reason == "")


def _check_any(text: str) -> None:
    try:
        lexed = lex(text)
    except LexError:
        return
    assert lex(lexed.text) == lexed


def _fill(template: str, lexed: Lexed) -> str:
    return Lexed(template, lexed.literals, 1, "").text


def _tokens(lexed: Lexed) -> list[tuple[TokenKind, str]]:
    try:
        return [(token.kind, token.text) for token in tokenise(lexed.template)]
    except TokenError:
        return []
