"""Something that looks at the messages that pass a relay, and keeps what it saw."""


class KeepingSink:
    """Keeps whole messages, and stretches of bulky ones joined where they are of one kind."""

    def __init__(self, swallow: frozenset[int] = frozenset()) -> None:
        self._swallow = swallow
        self._order: list[tuple[str, int, bytes]] = []

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        assert data[start] == kind
        self._order.append(("message", kind, data[start:end]))
        return kind not in self._swallow

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        assert end > start
        self._order.append(("bulk", kind, data[start:end]))
        return kind not in self._swallow

    @property
    def messages(self) -> list[bytes]:
        return [raw for form, _, raw in self._order if form == "message"]

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Kind and length of each stretch, as they came."""
        return [(kind, len(raw)) for form, kind, raw in self._order if form == "bulk"]

    @property
    def bulk_bytes(self) -> list[tuple[int, bytes]]:
        """Neighbouring stretches of one kind as one."""
        return [(kind, raw) for form, kind, raw in self.joined if form == "bulk"]

    @property
    def joined(self) -> list[tuple[str, int, bytes]]:
        """Everything in order, neighbouring stretches of one kind as one: what no split of the stream changes."""
        joined: list[tuple[str, int, bytes]] = []
        for form, kind, raw in self._order:
            if form == "bulk" and joined and joined[-1][:2] == (form, kind):
                joined[-1] = (form, kind, joined[-1][2] + raw)
            else:
                joined.append((form, kind, raw))
        return joined
