"""A stream that shows a difference becomes as small as it can be while it shows one."""

from services.shared.pgwire.frontend import Query, Sync
from tests.wire.grammar import make_stream
from tests.wire.shrinking import smallest
from tests.wire.stream import Step, Stream

_GUILTY = Query(b"SELECT guilty")


def _has_it(stream: Stream) -> bool:
    return any(_GUILTY in step.messages for step in stream.steps)


def test_what_has_no_part_in_it_is_left_out() -> None:
    around = make_stream("shrinking").steps
    guilty = Step((Sync(), _GUILTY, Sync()), ahead=True, settled=True, cuts=(1, 2))
    stream = Stream((*around, guilty, *around), (("user", "reader"),))
    assert smallest(stream, _has_it, 60.0) == Stream((Step((_GUILTY,)),))


def test_without_time_the_stream_stays_as_it_is() -> None:
    stream = Stream((Step((_GUILTY,)), Step((Sync(),))))
    assert smallest(stream, _has_it, -1.0) == stream
