"""The stack's own endpoint: the metrics of all its processes in one text, and whether they all do their work."""

import asyncio
from collections.abc import Iterable, Sequence
from http import HTTPStatus

from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

from services.shared.runtime.http_pages import Page
from services.standalone.exposition import PROCESS_LABEL, merge
from services.standalone.http import Handler
from services.standalone.supervisor import Keeper, Supervisor
from services.standalone.worker import Worker


class Overview:
    """Asks the processes and answers for all of them."""

    def __init__(self, supervisor: Supervisor, workers: Sequence[Worker]) -> None:
        self._supervisor = supervisor
        self._workers = workers

    @property
    def pages(self) -> dict[str, Handler]:
        """What is served under which path."""
        return {
            "/metrics": self._metrics,
            "/healthz": self._health,
            "/readyz": self._readiness,
            "/admission": self._admission,
        }

    async def _metrics(self) -> Page:
        texts = await asyncio.gather(*(worker.metrics() for worker in self._workers))
        answered = {worker.name: text for worker, text in zip(self._workers, texts, strict=True) if text is not None}
        body = merge(answered, _process_metrics(self._supervisor.keepers))
        return Page(HTTPStatus.OK, body, CONTENT_TYPE_LATEST)

    async def _admission(self) -> Page:
        """Which templates the proxies cache, and why."""
        texts = await asyncio.gather(*(worker.text("/admission") for worker in self._workers))
        shown = (
            f"## {worker.name}\n{text}\n" for worker, text in zip(self._workers, texts, strict=True) if text is not None
        )
        return Page(HTTPStatus.OK, "".join(shown).encode())

    async def _health(self) -> Page:
        """The supervisor answers, so it is alive; what it supervises is the matter of `/readyz`."""
        return Page(HTTPStatus.OK, b"ok\n")

    async def _readiness(self) -> Page:
        keepers = self._supervisor.keepers
        ready = await asyncio.gather(*(_is_ready(keeper) for keeper in keepers))
        lines = [
            f"{keeper.service.name} {'ready' if is_ready else 'not ready'}\n"
            for keeper, is_ready in zip(keepers, ready, strict=True)
        ]
        status = HTTPStatus.OK if all(ready) else HTTPStatus.SERVICE_UNAVAILABLE
        return Page(status, "".join(lines).encode())


async def _is_ready(keeper: Keeper) -> bool:
    return keeper.running and await keeper.service.is_ready()


def _process_metrics(keepers: Iterable[Keeper]) -> Iterable[Metric]:
    """What the supervisor itself knows of the processes."""
    running = GaugeMetricFamily("tidegate_process_running", "1 while the process runs.", labels=[PROCESS_LABEL])
    restarts = CounterMetricFamily(
        "tidegate_process_restarts", "How often the process was started again.", labels=[PROCESS_LABEL]
    )
    for keeper in keepers:
        running.add_metric([keeper.service.name], float(keeper.running))
        restarts.add_metric([keeper.service.name], max(keeper.start_count - 1, 0))
    return running, restarts
