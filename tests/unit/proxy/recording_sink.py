"""A relay's sink that does nothing but record."""

from services.proxy.session.recorder import Recorder


class RecordingSink:
    """Shows everything to a recorder and lets it pass."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def message(self, kind: int, data: bytes, start: int, end: int) -> bool:
        self._recorder.message(kind, data, start, end)
        return True

    def bulk(self, kind: int, data: bytes, start: int, end: int) -> bool:
        self._recorder.bulk(kind, data, start, end)
        return True
