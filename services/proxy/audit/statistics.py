"""What the auditor of one worker and cache counts."""

from collections import Counter

_BILLION = 1e9


class AuditStatistics:
    """Counters of one cache in one worker.

    Attributes:
        samples: Reads that the cache would have answered, that were asked of Postgres instead, and that it answered.
        agreements: Both said the same.
        reordered: Both gave the same rows, in another order.
        explained: They differed, and the change that did it was on its way: within the bound.
        violations: Answers proven wrong.
        skipped: Samples of which nothing can be said, by reason.
        seconds: Time that the worker spent on it.
        query_seconds: Time for which clients waited for Postgres although the cache had an answer.
    """

    __slots__ = (
        "agreements",
        "explained",
        "query_seconds",
        "reordered",
        "samples",
        "seconds",
        "skipped",
        "violations",
    )

    def __init__(self) -> None:
        self.samples = 0
        self.agreements = 0
        self.reordered = 0
        self.explained = 0
        self.violations = 0
        self.skipped: Counter[str] = Counter()
        self.seconds = 0.0
        self.query_seconds = 0.0

    def violations_per_billion_reads(self) -> float | None:
        """Return an estimate from the samples that were judged; None when there is none yet."""
        judged = self.agreements + self.reordered + self.explained + self.violations
        return self.violations * _BILLION / judged if judged else None
