"""Whether anybody still reads what is written to standard output."""

import select
import sys

_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


def reader_is_gone() -> bool:
    """Tell whether the other end of a pipe was closed, as `head` does when it has enough.

    A write would tell as well, but where little happens it may be long until the next one; and whoever waits for the
    pipeline waits for us.
    """
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # what is asked for here comes unasked
    return any(events & _GONE for _, events in poll.poll(0))
