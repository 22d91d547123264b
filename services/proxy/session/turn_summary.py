"""What a turn that was answered from the cache leaves behind, for when the same bytes come again. Pure."""

from collections.abc import Sequence

from services.proxy.session.follow_up import FollowUp
from services.proxy.session.planning import Step
from services.proxy.sql.block_statement import BlockStep


def summary(steps: Sequence[Step], block: object | None) -> tuple[bool, FollowUp | None]:
    """Sum up a turn that was answered from the cache, for when the same bytes come again.

    Args:
        steps: What it did.
        block: The block that is held back after it, if there is one.

    Returns:
        Whether a block was held back before it; and what it left behind, None when that is nothing.
    """
    blocks = [step for step in steps if step.block is not None]
    begun = [step for step in blocks if step.block is not None and step.block.step is BlockStep.BEGIN]
    held_before = blocks[0] not in begun if blocks else block is not None
    last = steps[-1].request if block is not None and steps[-1].plan is not None else None
    setters = [step.request for step in steps if step.request.sets_unnamed]
    follow_up = FollowUp(
        sets_unnamed=bool(setters),
        unnamed=setters[-1].unnamed if setters else None,
        begins=begun[-1].request.text if begun and block is not None else b"",
        ends=held_before and bool(blocks),
        reads=last is not None,
        portal=None if last is None or last.simple else last,
    )
    return held_before, None if follow_up == FollowUp() else follow_up
