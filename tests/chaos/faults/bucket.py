"""What a worker rests on is taken away in Redis: feed items that it has not read, registrations of shapes."""

import contextlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import replace

import psycopg

from services.shared.keyspace.keys import Keys
from tests.chaos import tables
from tests.chaos.fault import Fault, Scene, wait_services
from tests.chaos.stack import CACHE, Plan
from tests.chaos.workload import Connection, Load

_KEYS = Keys(CACHE)
_READ_SECONDS = 0.1  # by then a question has been answered, though nobody has heard of it
_FOUND_SECONDS = 0.3  # by then a gap is found
_STALL_SECONDS = 1.4  # beyond the bound, so that everything is asked of Postgres
_EVICTED_SECONDS = 0.04  # by then a write is evicted in the bucket
_ROWS = 12
_BLOWS = 5
_BETWEEN_SECONDS = 1.0
_RESYNCS = "tidegate_proxy_resyncs_total"


class FeedTrimmed(Fault):
    """Feed items are gone before the proxy has read them, while answers are under way.

    Each blow: the proxy is cut off from Redis until nothing is fresh; rows are asked for, read by Postgres, written,
    evicted; the feed is trimmed, and the way mended. So the gap is found before the answers come.
    """

    name = "feed trimmed before the proxy has read it, with answers under way"
    expected = "a gap in the feed: everything is dropped, and what was asked for before is not kept"
    plan = replace(Plan(), kafka=False)
    load = Load(direct=1, items=tables.ITEMS[:64])

    def strike(self, scene: Scene) -> None:
        """Deal the blows, each on rows that nobody else writes."""
        links, proxy = scene.stack.links, scene.stack.proxy
        resyncs = proxy.metric(_RESYNCS)
        with contextlib.ExitStack() as stack:
            readers = [
                stack.enter_context(psycopg.connect(scene.stack.proxied_url, autocommit=True)) for _ in range(_ROWS)
            ]
            scene.strike()
            stack.callback(links["proxy-postgres"].mend)
            stack.callback(links["proxy-redis"].mend)
            for number in range(_BLOWS):
                _trim_under(scene, readers, tables.ITEMS[64 + number * _ROWS :][:_ROWS])
        scene.mend()
        noticed = proxy.metric(_RESYNCS) - resyncs
        scene.remarks.append(f"{noticed:.0f} gaps found of {_BLOWS}")
        assert self.unseen_is_fine or noticed >= _BLOWS, f"{noticed:.0f} of {_BLOWS} gaps were found"
        wait_services(scene.stack)

    unseen_is_fine = False


class UnseenFeedTrimmed(FeedTrimmed):
    """The same for a cache that need not notice: its answers are judged."""

    unseen_is_fine = True


def _trim_under(scene: Scene, readers: Sequence[Connection], items: Sequence[int]) -> None:
    """Deal a blow; every reader asks for one row."""
    workload, links = scene.workload, scene.stack.links

    def read(reader: Connection, item: int) -> None:
        workload.read(reader, tables.READ_ITEM, item, workload.new_session("under way"))

    links["proxy-redis"].stall()
    scene.let_pass(_STALL_SECONDS)
    links["proxy-postgres"].stall_replies()
    threads = [threading.Thread(target=read, args=pair) for pair in zip(readers, items, strict=True)]
    for thread in threads:
        thread.start()
    scene.let_pass(_READ_SECONDS)
    session = workload.new_session("under way")
    with psycopg.connect(scene.stack.direct_url, autocommit=True) as writer:
        for item in items:
            workload.set_items(writer, [item], session)
    scene.let_pass(_EVICTED_SECONDS)
    with scene.stack.redis_client() as client:
        client.xtrim(_KEYS.feed(0), maxlen=0, approximate=False)
    links["proxy-redis"].mend()
    scene.let_pass(_FOUND_SECONDS)
    links["proxy-postgres"].mend()
    for thread in threads:
        thread.join()
    scene.let_pass(_BETWEEN_SECONDS)


class RegistrationsLost(Fault):
    """The bucket forgets which shapes changes are matched with, as after a fail-over of Redis."""

    name = "registrations of shapes lost in redis"
    expected = (
        "the registry's version is another one: what rests on a lost shape is dropped, shapes are registered again"
    )
    plan = replace(Plan(), kafka=False)

    def strike(self, scene: Scene) -> None:
        """Delete the registrations, and give the registry another version."""
        scene.strike()
        with scene.stack.redis_client() as client, client.pipeline(transaction=True) as together:
            together.delete(_KEYS.shapes)
            together.hset(_KEYS.meta, "registry", secrets.token_hex(12))
            together.execute()
        scene.mend()
        scene.let_pass(_BETWEEN_SECONDS)
        wait_services(scene.stack)
