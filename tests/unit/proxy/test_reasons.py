"""Every refusal has a name, a sentence of advice, and a line in the documentation."""

from pathlib import Path

import pytest

from services.proxy import reasons as session_reasons
from services.proxy.sql import reasons as statement_reasons

_PAGE = Path(__file__).parents[3] / "docs" / "what-is-cached.md"
_ADVICE = {
    str(reason): advice
    for table in (statement_reasons.ADVICE, session_reasons.ADVICE)
    for reason, advice in table.items()
}


@pytest.mark.parametrize("reason", [*statement_reasons.Reason, *session_reasons.Reason], ids=str)
def test_a_reason_has_advice_and_its_line_in_the_documentation(reason: str) -> None:
    advice = _ADVICE[reason]
    assert f"| `{reason}` | {advice} |" in _PAGE.read_text()
