"""What may differ in the output of the regression SQL, and nothing else."""

import pytest

from tests.conformance.normalise import normalised

INDEXES = 'Indexes:\n    "t_pkey" PRIMARY KEY, btree (id)\n'


@pytest.mark.parametrize(
    ("listed", "left"),
    [
        ('Publications:\n    "tidegate_default"\n', ""),
        ('Publications:\n    "tidegate_default"\n    "zebra"\n', 'Publications:\n    "zebra"\n'),
        ('Publications:\n    "mine"\n    "tidegate_default"\n', 'Publications:\n    "mine"\n'),
        ('Publications:\n    "mine"\n', 'Publications:\n    "mine"\n'),
    ],
)
def test_our_publication_is_not_seen_among_a_tables_own(listed: str, left: str) -> None:
    assert normalised(INDEXES + listed + "\n", {}) == INDEXES + left + "\n"


def test_paths_of_a_side_are_replaced() -> None:
    assert normalised("open /tmp/x1/data: no", {"/tmp/x1": "BUILD"}) == "open BUILD/data: no"
