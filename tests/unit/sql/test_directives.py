"""What a statement asks for in a comment."""

import pytest

from services.proxy.sql.directives import Directives, read_directives
from services.shared.runtime.settings import Consistency


@pytest.mark.parametrize(
    ("text", "directives"),
    [
        ("SELECT 1", Directives()),
        ("SELECT 1 /*traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/", Directives()),
        ("SELECT 1 /* tidegate_skip='1' */", Directives(skip=True)),
        ("/*tidegate_skip='true',route='%2Fpolls'*/ SELECT 1", Directives(skip=True)),
        ("SELECT 1 -- tidegate_skip='1'", Directives(skip=True)),
        ("SELECT 1 /* tidegate_skip='0' */", Directives()),
        ("SELECT 1 /* tidegate_skip='1' */ /* tidegate_skip='0' */", Directives()),
        ("SELECT /* tidegate_consistency='bounded' */ 1", Directives(consistency=Consistency.BOUNDED)),
        ("SELECT 1 /* tidegate_consistency = 'STRONG' */", Directives(consistency=Consistency.STRONG)),
        ("SELECT 1 /* a='b', tidegate_max_staleness='200ms' */", Directives(max_staleness=0.2)),
        ("SELECT 1 /* tidegate_max_staleness='200%6Ds' */", Directives(max_staleness=0.2)),
        ("SELECT 1 /* tidegate_ageing_ttl='5s' */", Directives(ageing_ttl=5.0)),
        ("SELECT ' /* tidegate_skip=''1'' */ '", Directives()),
        ("SELECT $$ -- tidegate_skip='1' $$", Directives()),
    ],
)
def test_what_is_understood(text: str, directives: Directives) -> None:
    assert read_directives(text) == directives


@pytest.mark.parametrize(
    "comment",
    [
        "tidegate_skip=1",
        "tidegate_skip",
        "tidegate_skip='perhaps'",
        "tidegate_skipp='1'",
        "tidegate_consistency='eventual'",
        "tidegate_max_staleness='soon'",
        "see table tidegate_canary",
        "tidegate_skip='1', tidegate_x",
    ],
)
def test_what_is_not(comment: str) -> None:
    assert read_directives(f"SELECT 1 /* {comment} */").unknown != ""
