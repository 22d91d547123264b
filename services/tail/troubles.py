"""What is in the way, told once and not at every attempt."""

from collections.abc import Callable

from services.tail.line import Line
from services.tail.story import Story


class Troubles:
    """One thing that may fail and come back."""

    def __init__(self, what: str, story: Story, show: Callable[[list[Line]], None]) -> None:
        """Prepare.

        Args:
            what: What it is, to say that it is back.
            story: Words a note.
            show: Where notes go.
        """
        self._what = what
        self._story = story
        self._show = show
        self._told = ""

    def tell(self, text: str) -> None:
        """Tell what is wrong, unless that was told last."""
        if text != self._told:
            self._told = text
            self._show([self._story.note(text)])

    def over(self, *, silently: bool = False) -> None:
        """Tell that it is over, if it was there."""
        if self._told and not silently:
            self._show([self._story.note(f"{self._what} is there")])
        self._told = ""
