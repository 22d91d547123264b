"""A psql script with each of its reads said several times, so that the later ones may come from a cache.

Postgres's regression files make a table, fill it, read it once and drop it: run as they are, no read is ever a hit. So
a read of tables is said, then there is a pause in which the writes before it are evicted, and it is said twice more:
once to fill the cache, once to be answered from it. A read right after another one needs no pause: nothing has been
written since. Run directly, the same script gives the answers to compare with.

The cutting needs to be good, not perfect: both sides get the same script, so a statement cut wrongly costs coverage,
and never makes a difference. Pure.
"""

import re

_READ = re.compile(r"(?=(?:select|with|table)\b).*\b(?:from|table)\b", re.IGNORECASE | re.DOTALL)
_COPY_FROM_STDIN = re.compile(r"copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_IGNORED = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z))+")
_DOLLAR_QUOTE = re.compile(r"\$(?:[A-Za-z_\x80-\uffff][\w\x80-\uffff]*)?\$")
_WORD = re.compile(r"[A-Za-z_\x80-\uffff][\w$\x80-\uffff]*")
_COPY_END = re.compile(r"^\\\.[^\n]*(?:\n|\Z)", re.MULTILINE)


_PAUSE = "\nSELECT pg_catalog.pg_sleep(0.02) \\g /dev/null"  # seconds; several times what an eviction takes


def repeat_reads(script: str) -> str:
    """Return the script with every plain read of tables said three times, with a pause if anything else came before."""
    pieces: list[str] = []
    paused = False  # since the last thing that is no plain read of tables
    for statement, plain in statements(script):
        pieces.append(statement)
        body = statement[_skip_ignored(statement, 0) :]
        if plain and _READ.match(body):
            pieces.append(f"\n{body}\n{body}" if paused else f"{_PAUSE}\n{body}\n{body}")
            paused = True
        elif body:
            paused = False
    return "".join(pieces)


def statements(script: str) -> list[tuple[str, bool]]:
    """Cut a script into statements, each with what stands in front of it; joined they are the script again.

    The flag tells whether psql sends the statement as it stands here: no meta-command has a hand in it, and no data
    follow it.
    """
    found: list[tuple[str, bool]] = []
    start = 0
    while start < len(script):
        end, plain = _statement_end(script, start)
        if _COPY_FROM_STDIN.match(script, _skip_ignored(script, start)):
            closing = _COPY_END.search(script, end)
            end, plain = (closing.end() if closing else len(script)), False
        found.append((script[start:end], plain))
        start = end
    return found


def _statement_end(script: str, start: int) -> tuple[int, bool]:
    """Return where the statement that begins here ends, behind its semicolon, and whether it is plain."""
    at, depth, plain = start, 0, True
    while at < len(script):
        character = script[at]
        if character == ";" and depth <= 0:
            return at + 1, plain
        if character == "\\":
            plain = False
            at = _line_end(script, at)
            continue
        depth += (character == "(") - (character == ")")
        at = _token_end(script, at)
    return len(script), False


def _token_end(script: str, at: int) -> int:
    """Return where a comment, a quoted thing, a word or a single character ends."""
    character = script[at]
    if script.startswith("--", at):
        return _line_end(script, at)
    if script.startswith("/*", at):
        return _comment_end(script, at)
    if character == "'":
        return _quoted_end(script, at, escapes=script[at - 1 : at] in ("e", "E"))
    if character == '"':
        return _quoted_end(script, at, escapes=False)
    if dollar := _DOLLAR_QUOTE.match(script, at):
        closing = script.find(dollar[0], dollar.end())
        return len(script) if closing < 0 else closing + len(dollar[0])
    word = _WORD.match(script, at)
    return word.end() if word else at + 1


def _line_end(script: str, at: int) -> int:
    end = script.find("\n", at)
    return len(script) if end < 0 else end


def _quoted_end(script: str, at: int, *, escapes: bool) -> int:
    quote = script[at]
    at += 1
    while at < len(script) and script[at] != quote:
        at += 2 if escapes and script[at] == "\\" else 1
    return at + 1  # a doubled quote begins the next quoted thing, which is as good


def _comment_end(script: str, at: int) -> int:
    """Return where a comment ends, with the comments in it."""
    depth = 0
    while at < len(script):
        if script.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif script.startswith("*/", at):
            depth, at = depth - 1, at + 2
            if depth == 0:
                return at
        else:
            at += 1
    return at


def _skip_ignored(script: str, at: int) -> int:
    """Return where the first word stands, behind white space and comments."""
    while at < len(script):
        if blank := _IGNORED.match(script, at):
            at = blank.end()
        elif script.startswith("/*", at):
            at = _comment_end(script, at)
        else:
            break
    return at
