"""A template as tokens: what the rules read. Off the hot path, once per template. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

_LETTER = r"A-Za-z_\x80-\U0010ffff"
_TOKEN = re.compile(
    rf"""\s*+(?:
      (?P<quoted>(?:u&)?"[^"]*+(?:""[^"]*+)*+")
    | (?P<literal>\{{[a-z]+\}})
    | (?P<parameter>\$[0-9]+)
    | (?P<word>[{_LETTER}][{_LETTER}0-9$]*+)
    | (?P<mark>::|:=|[(),.;\[\]:])
    | (?P<operator>[+\-*/<>=~!@\#%^&|`?]++)
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_MAX_NAME_BYTES = 63  # NAMEDATALEN - 1; Postgres cuts longer names


class TokenKind(Enum):
    """What a token is."""

    WORD = auto()  # keyword or unquoted identifier
    QUOTED = auto()  # quoted identifier; its text is the name itself
    LITERAL = auto()  # text: the kind of the literal
    PARAMETER = auto()  # text: the number
    MARK = auto()  # punctuation
    OPERATOR = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a template; `number` counts the literals, or is the parameter's number."""

    kind: TokenKind
    text: str
    number: int = -1

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these unquoted words."""
        return self.kind is TokenKind.WORD and self.text in words

    def is_mark(self, mark: str) -> bool:
        """Whether it is this punctuation."""
        return self.kind is TokenKind.MARK and self.text == mark

    @property
    def is_name(self) -> bool:
        """Whether it can be an identifier."""
        return self.kind is TokenKind.WORD or self.kind is TokenKind.QUOTED


END = Token(TokenKind.MARK, "")


class TokenError(ValueError):
    """The template holds something that the rules do not read."""


def tokenise(template: str) -> tuple[Token, ...]:
    """Cut a template into tokens.

    Raises:
        TokenError: An identifier with Unicode escapes or one that Postgres would cut, or text that is no SQL.
    """
    tokens: list[Token] = []
    literal_count, place = 0, 0
    template = template.rstrip(" ")
    while place < len(template):
        found = _TOKEN.match(template, place)
        if found is None or found.lastgroup is None:
            raise TokenError(f"unexpected text at character {place}")
        place = found.end()
        text = found[found.lastgroup]
        if found.lastgroup == "literal":
            tokens.append(Token(TokenKind.LITERAL, text[1:-1], literal_count))
            literal_count += 1
        else:
            tokens.append(_token(found.lastgroup, text))
    return tuple(tokens)


def at(tokens: Sequence[Token], index: int) -> Token:
    """Return a token, or END beyond either end."""
    return tokens[index] if 0 <= index < len(tokens) else END


def closing(tokens: Sequence[Token], opening: int) -> int:
    """Return the index of the parenthesis that closes the one at `opening`; the length when none does."""
    depth = 0
    for index in range(opening, len(tokens)):
        if tokens[index].is_mark("("):
            depth += 1
        elif tokens[index].is_mark(")"):
            depth -= 1
            if depth == 0:
                return index
    return len(tokens)


def depths(tokens: Sequence[Token]) -> list[int]:
    """Return for each token in how many parentheses and brackets it stands; these stand where they open."""
    found: list[int] = []
    depth = 0
    for token in tokens:
        if token.is_mark(")") or token.is_mark("]"):
            depth -= 1
        found.append(depth)
        if token.is_mark("(") or token.is_mark("["):
            depth += 1
    return found


def _token(group: str, text: str) -> Token:
    match group:
        case "parameter":
            return Token(TokenKind.PARAMETER, text, int(text[1:]))
        case "mark":
            return Token(TokenKind.MARK, text)
        case "operator":
            return Token(TokenKind.OPERATOR, text)
        case "quoted":
            if not text.startswith('"'):
                raise TokenError("an identifier with Unicode escapes")
            return Token(TokenKind.QUOTED, _checked_name(text[1:-1].replace('""', '"')))
        case _:
            return Token(TokenKind.WORD, _checked_name(text))


def _checked_name(name: str) -> str:
    if len(name.encode(errors="replace")) > _MAX_NAME_BYTES:
        raise TokenError("a name longer than 63 bytes")
    return name
