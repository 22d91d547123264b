"""Conditions on a column that tags can be made of, and of which of them tree and tokens agree. Pure.

They are found twice. The tree says where a condition stands (`claims.py`), and so for which rows it must hold; the
tokens say what it is (`written_conditions.py`), since there precedence cannot be mistaken. A condition counts only
where both say the same, wherever it stands in the statement: `k = $1::numeric(3)` is not `k = $1`.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from sqlglot import exp

from services.proxy.sql.claims import CLAIMING, Claim, claim_of
from services.proxy.sql.tokens import Token
from services.proxy.sql.written_conditions import Condition, written_conditions


def agreed_conditions(tree: exp.Expr, tokens: Sequence[Token]) -> dict[Claim, Condition]:
    """Return the conditions of which tree and tokens say the same everywhere."""
    written: dict[Claim, list[Condition]] = {}
    for condition in written_conditions(tokens):
        written.setdefault(condition.claim, []).append(condition)
    nodes: Iterator[exp.Expr] = tree.find_all(*CLAIMING)
    claims = Counter(map(claim_of, nodes))
    return {
        claim: found[0]
        for claim, found in written.items()
        if claims[claim] <= len(found) and all(condition == found[0] for condition in found)
    }
