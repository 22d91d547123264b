"""When a service cannot do its work as things are."""


class Refusal(Exception):
    """A service cannot do its work as things are. The message is for whoever runs it: what is wrong, and what to do."""
