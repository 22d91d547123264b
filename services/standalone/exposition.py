"""Merge the metrics of several processes into one Prometheus text. Pure.

A family must appear once in a text, with all of its samples together. Each sample gets the label `process` with the
name of the process it comes from, so that the same counter of two processes stays two.
"""

from collections.abc import Iterable, Mapping

from prometheus_client import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

PROCESS_LABEL = "process"


def merge(texts: Mapping[str, str], own: Iterable[Metric]) -> bytes:
    """Merge texts.

    Args:
        texts: Process name to the text that it exposes. One that is no Prometheus text is left out as a whole.
        own: Families to put beside them.

    Returns:
        The merged text.
    """
    families: dict[str, Metric] = {family.name: family for family in own}
    for process, text in texts.items():
        for family in _parse(text):
            known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            if known.type == family.type:
                for sample in family.samples:
                    known.samples.append(sample._replace(labels={**sample.labels, PROCESS_LABEL: process}))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families.values()))
    return generate_latest(registry)


def _parse(text: str) -> list[Metric]:
    try:
        return list(text_string_to_metric_families(text))
    except ValueError:  # cut off, or not what it should be
        return []


class _Families(Collector):
    """What `generate_latest` writes."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        return self._families
