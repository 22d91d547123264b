"""What can go wrong with a replication connection."""


class ReplicationError(Exception):
    """The replication connection is of no further use; a new one may be.

    ReplicationError
    ├── FrameError           its bytes are not what a walsender sends
    ├── SlotBusyError        the slot is in use by another connection: another CDC service, or one that has just died
    └── SlotUnusableError    the slot can give no more changes, or not the right ones: make it anew
    """


class FrameError(ReplicationError):
    """The bytes are not a frame of the streaming replication protocol."""


class SlotBusyError(ReplicationError):
    """The slot is exclusive, and someone else has it."""


class SlotUnusableError(ReplicationError):
    """Its WAL is gone, it was invalidated, or it lies before our publication. A new one starts a new stream epoch."""
