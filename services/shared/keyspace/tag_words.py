"""How tags are called before people: the same in what explains a statement and in what tells of evictions. Pure."""

from services.shared.relation import Shape

ALL_ROWS = "reads of all rows"


def shape_words(shape: Shape) -> str:
    """Return what the tag of a shape is called: all reads of its form, whatever their values."""
    if shape.named:
        return f"any {','.join(column.name for column in shape.named)}"
    if shape.watched is None:
        return ALL_ROWS
    return f"{ALL_ROWS} for {','.join(shape.watched)}" if shape.watched else f"{ALL_ROWS} for their number"


def entry_words(shape: Shape) -> str:
    """Return what the tag of answers is called that show their rows' keys: evicted where a new row is not known."""
    return f"{shape_words(shape)} of a new row"


def range_words(shape: Shape, value: str = "") -> str:
    """Return what the tags of a range are called, one for each block of values that it is put together from.

    Args:
        shape: The shape.
        value: That of a row which is in it, as a person reads it.
    """
    name = ",".join(column.name for column in shape.named)
    return f"ranges of {name} with {value}" if value else f"a range of {name}"
