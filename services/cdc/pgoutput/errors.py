"""What can be wrong with the bytes of a change stream."""


class PgoutputError(Exception):
    """The bytes are not what pgoutput sends: too short, too long, of an unknown kind or out of order.

    Nothing is skipped: whoever catches it ends the incarnation. The text quotes no values of rows.
    """
