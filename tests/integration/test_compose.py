"""The compose file: valid, safe to start on a laptop, and in words that our settings understand."""

from typing import Any

import pytest

from services.shared.runtime.kafka_url import KafkaUrl
from services.shared.runtime.settings_loading import load_settings
from tests.servers.compose import REPOSITORY, composed

_OURS = ("proxy", "cdc", "invalidator")
_ALL = {"postgres", "redis", "kafka", *_OURS}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = composed()["services"]
    return found


def test_everything_that_is_needed_is_there(services: dict[str, Any]) -> None:
    assert set(services) == _ALL


@pytest.mark.parametrize("name", sorted(_ALL))
def test_each_service_is_watched_limited_and_started_again(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["healthcheck"]["test"]
    assert service["mem_limit"]
    assert float(service["cpus"]) > 0
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"]["max-size"]


def test_only_proxy_and_postgres_are_published_and_only_on_the_loopback(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) == {"proxy", "postgres"}
    for ports in published.values():
        for port in ports:
            host = port.get("host_ip") if isinstance(port, dict) else port.rpartition(":")[0].rpartition(":")[0]
            assert host == "127.0.0.1"


@pytest.mark.parametrize("name", _OURS)
def test_our_services_run_without_any_privilege(services: dict[str, Any], name: str) -> None:
    service = services[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"]
    assert str(service["user"]) == "10001"
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", _OURS)
def test_our_settings_understand_the_environment(services: dict[str, Any], name: str) -> None:
    settings = load_settings(services[name]["environment"], REPOSITORY / "tests" / "integration" / "empty.toml")
    cache = settings.caches["default"]
    assert (cache.upstream.host, cache.upstream.user, cache.upstream.database) == ("postgres", "app", "app")
    assert cache.kafka == KafkaUrl(("kafka:9092",))
    assert settings.process.metrics_address[1] == 9464
    assert services[name]["command"] == [name]


def test_the_slot_cannot_fill_the_disk(services: dict[str, Any]) -> None:
    command = services["postgres"]["command"]
    assert "wal_level=logical" in command
    assert any(part.startswith("max_slot_wal_keep_size=") for part in command)


def test_passwords_come_from_the_environment(services: dict[str, Any]) -> None:
    ours = composed({"POSTGRES_PASSWORD": "pgsecret", "REDIS_PASSWORD": "rdsecret"})["services"]
    assert ours["postgres"]["environment"]["POSTGRES_PASSWORD"] == "pgsecret"
    assert ":pgsecret@" in ours["cdc"]["environment"]["TIDEGATE_DATABASE_URL"]
    assert ":rdsecret@" in ours["proxy"]["environment"]["TIDEGATE_REDIS_URL"]
    assert not any("secret" in str(service.get("command", "")) for service in ours.values())


def test_the_image_that_compose_builds_is_the_one_that_the_dockerfile_describes(services: dict[str, Any]) -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
    assert 'ENTRYPOINT ["tidegate"]' in dockerfile
    assert "USER 10001" in dockerfile
    assert all(services[name].get("entrypoint") is None for name in _OURS)
