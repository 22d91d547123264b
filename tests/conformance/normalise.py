"""What may differ between two runs of the same SQL on two servers, taken out of their output. Pure.

Everything else counts. Postgres's own tests already avoid most of what changes from run to run. That a table is in
Tidegate's publication is no difference either: psql's listings say so where it is.
"""

import re
from collections.abc import Mapping

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\blarge object \d{5,}"), "large object OID"),  # the server numbers them
    (re.compile(r"^Publications:\n    \"tidegate_\w+\"\n(?!    \")", re.MULTILINE), ""),
    (re.compile(r"^    \"tidegate_\w+\"\n", re.MULTILINE), ""),
)


def normalised(output: str, replaced: Mapping[str, str]) -> str:
    """Return an output without what may differ.

    Args:
        output: What psql printed.
        replaced: Texts of this side (paths, ports), and what stands for them.
    """
    for text, token in replaced.items():
        output = output.replace(text, token)
    for pattern, token in _RULES:
        output = pattern.sub(token, output)
    return output
