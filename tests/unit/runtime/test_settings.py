"""Settings: where they come from, what they are called, and how a wrong one is refused."""

from pathlib import Path

import pytest

from services.shared.runtime.kafka_url import KafkaUrl
from services.shared.runtime.settings import Consistency, Settings, TlsMode
from services.shared.runtime.settings_loading import SettingsError, load_settings

_URL = "postgresql://app:hunter2@db/shop"


def _load(tmp_path: Path, text: str = "", **variables: str) -> Settings:
    path = tmp_path / "tidegate.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings({f"TIDEGATE_{name}": value for name, value in variables.items()}, path)


def _refusal(tmp_path: Path, text: str = "", **variables: str) -> str:
    with pytest.raises(SettingsError) as refusal:
        _load(tmp_path, text, **variables)
    message = str(refusal.value)
    assert "hunter2" not in message, message
    return message


def test_with_a_database_url_alone_the_cache_is_default(tmp_path: Path) -> None:
    settings = _load(tmp_path, DATABASE_URL=_URL)
    assert list(settings.caches) == ["default"]
    cache = settings.caches["default"]
    assert cache.max_staleness == 1.0
    assert cache.consistency is Consistency.SESSION
    assert cache.l1_bytes == 64 * 1024**2
    assert cache.upstream.user == "app"
    assert (cache.publication, cache.slot) == ("tidegate_default", "tidegate_default")
    assert (cache.topic, cache.prefix) == ("tidegate.default.changes", "tidegate:{default}:")


def test_durations_sizes_flags_and_lists_are_read_from_variables(tmp_path: Path) -> None:
    cache = _load(
        tmp_path, DATABASE_URL=_URL, MAX_STALENESS="200ms", L1_BYTES="1GiB", KEEP="true", HASHED_COLUMNS="a.b.c, a.b.d",
        EVENT_LOG="kafka://k1:9092,k2:9092",
    ).caches["default"]  # fmt: skip
    assert cache.max_staleness == pytest.approx(0.2)
    assert cache.l1_bytes == 1024**3
    assert cache.keep
    assert cache.hashed_columns == ("a.b.c", "a.b.d")
    assert cache.kafka == KafkaUrl(("k1:9092", "k2:9092"))


def test_the_password_for_kafka_is_not_shown(tmp_path: Path) -> None:
    cache = _load(tmp_path, DATABASE_URL=_URL, EVENT_LOG="kafka+ssl://me:hunter2@k:9093").caches["default"]
    assert cache.kafka is not None
    assert cache.kafka.password == "hunter2"
    assert cache.shown()["event_log"] == "kafka+ssl://me:***@k:9093"
    assert "hunter2" not in repr(cache) + str(cache)


def test_tls_and_the_networks_of_clients_are_read(tmp_path: Path) -> None:
    cache = _load(
        tmp_path,
        DATABASE_URL=_URL,
        TLS="required",
        TLS_CERTIFICATE="/etc/tls.crt",
        TLS_KEY="tls.key",
        ALLOW_CLIENTS="10.1.2.3/8, ::1",
    ).caches["default"]
    assert cache.tls is TlsMode.REQUIRED
    assert cache.tls_certificate == Path("/etc/tls.crt")
    assert cache.tls_key == Path("tls.key").absolute()
    assert cache.allow_clients == ("10.0.0.0/8", "::1/128")
    assert [str(network) for network in cache.client_networks] == ["10.0.0.0/8", "::1/128"]

    plain = _load(tmp_path, f'[cache.shop]\ndatabase_url = "{_URL}"\nallow_clients = ["fd00::/8"]\n').caches["shop"]
    assert (plain.tls, plain.tls_certificate) == (TlsMode.AUTO, None)
    assert plain.allow_clients == ("fd00::/8",)
    assert "tls_certificate" not in plain.shown()


def test_what_makes_no_sense_about_tls_is_refused(tmp_path: Path) -> None:
    alone = _refusal(tmp_path, DATABASE_URL=_URL, TLS_KEY="/etc/tls.key")
    assert "TIDEGATE_TLS_KEY = /etc/tls.key: there is no certificate to it; set tls_certificate too" in alone
    assert "set tls_key too" in _refusal(tmp_path, DATABASE_URL=_URL, TLS_CERTIFICATE="/etc/tls.crt")
    assert "TIDEGATE_TLS" in _refusal(tmp_path, DATABASE_URL=_URL, TLS="yes")
    assert "10.0.0.0/33 is no network" in _refusal(tmp_path, DATABASE_URL=_URL, ALLOW_CLIENTS="::1, 10.0.0.0/33")
    assert "sslmode should be" in _refusal(tmp_path, DATABASE_URL=f"{_URL}?sslmode=sometimes")


@pytest.mark.parametrize(
    ("written", "mode"), [('"0770"', 0o770), ("0o770", 0o770), ('"700"', 0o700), ('"0o777"', 0o777)]
)
def test_permissions_are_octal_however_they_are_written(tmp_path: Path, written: str, mode: int) -> None:
    text = f'[cache.shop]\ndatabase_url = "{_URL}"\nlisten_unix_permissions = {written}\n'
    assert _load(tmp_path, text).caches["shop"].listen_unix_mode == mode


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    text = f'[process]\nlog_level = "debug"\n[cache.orders]\ndatabase_url = "{_URL}"\nmax_staleness = "5s"\n'
    settings = _load(tmp_path, text, MAX_STALENESS="2s", LOG_LEVEL="error")
    assert settings.caches["orders"].max_staleness == 2.0
    assert settings.process.log_level == "error"


def test_a_variable_may_name_its_cache(tmp_path: Path) -> None:
    text = '[cache.orders]\nmax_staleness = "5s"\n[cache.big_shop]\nl1_bytes = 1000000000\n'
    settings = _load(tmp_path, text, ORDERS__DATABASE_URL=_URL, BIG_SHOP__DATABASE_URL=_URL, BIG_SHOP__LISTEN="[::1]:7")
    assert settings.caches["orders"].max_staleness == 5.0
    assert settings.caches["big_shop"].listen_address == ("::1", 7)


def test_an_empty_variable_is_an_unset_one(tmp_path: Path) -> None:
    assert _load(tmp_path, DATABASE_URL=_URL, MAX_STALENESS="").caches["default"].max_staleness == 1.0


def test_the_file_is_found_by_its_variable_and_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = f'[cache.{{}}]\ndatabase_url = "{_URL}"\n'
    Path("tidegate.toml").write_text(text.format("here"), encoding="utf-8")
    Path("other.toml").write_text(text.format("there"), encoding="utf-8")
    assert list(load_settings({}).caches) == ["here"]
    assert list(load_settings({"TIDEGATE_CONFIG": "other.toml"}).caches) == ["there"]
    with pytest.raises(SettingsError, match=r"missing\.toml: cannot be read"):
        load_settings({"TIDEGATE_CONFIG": "missing.toml"})


def test_kubernetes_service_links_are_not_settings(tmp_path: Path) -> None:
    links = {
        "PORT": "tcp://10.0.0.1:6432", "SERVICE_HOST": "10.0.0.1", "PORT_6432_TCP_ADDR": "10.0.0.1",
        "PROXY_SERVICE_PORT_METRICS": "9000", "PROXY_PORT_6432_TCP": "tcp://10.0.0.1:6432",
    }  # fmt: skip
    assert list(_load(tmp_path, DATABASE_URL=_URL, **links).caches) == ["default"]


def test_no_cache_at_all_is_refused(tmp_path: Path) -> None:
    assert "TIDEGATE_DATABASE_URL: is not set" in _refusal(tmp_path)


def test_a_cache_without_a_database_is_refused(tmp_path: Path) -> None:
    assert "cache.orders.database_url: is not set" in _refusal(tmp_path, "[cache.orders]\nkeep = true")
    assert "TIDEGATE_DATABASE_URL: is not set" in _refusal(tmp_path, MAX_STALENESS="1s")


@pytest.mark.parametrize(
    ("variable", "value", "advice"),
    [
        ("MAX_STALENES", "1s", "TIDEGATE_MAX_STALENES: there is no such setting; did you mean TIDEGATE_MAX_STALENESS?"),
        ("ORDERS__MAX_STALENES", "1s", "did you mean TIDEGATE_ORDERS__MAX_STALENESS?"),
        ("NONSENSE", "1", "TIDEGATE_NONSENSE: there is no such setting"),
        ("MAX_STALENESS", "soon", "TIDEGATE_MAX_STALENESS = 'soon': it should be a duration such as 200ms"),
        ("MAX_STALENESS", "1ms", "greater than or equal to 0.05"),
        ("CONSISTENCY", "strongest", "'off', 'bounded', 'session' or 'strong'"),
        ("PARTITIONS", "0", "TIDEGATE_PARTITIONS = '0': should be greater than or equal to 1"),
        ("LISTEN", "6432", "it is no HOST:PORT"),
        ("EVENT_LOG", "kafka://", "redis, or kafka[+ssl]://[USER:PASSWORD@]HOST:PORT"),
        ("EVENT_LOG", "kafka://u:hunter2@nowhere", "TIDEGATE_EVENT_LOG = kafka://u:***@nowhere: behind the scheme"),
        ("REDIS_URL", "http://:hunter2@x", "TIDEGATE_REDIS_URL = http://:***@x: it should begin with redis://"),
        ("HASHED_COLUMNS", "users.email", "schema.table.column"),
        ("KEEP", "perhaps", "true or false"),
        ("LOG_FORMAT", "xml", "TIDEGATE_LOG_FORMAT = 'xml'"),
        ("L1_BYTES", "lots", "64MiB"),
        ("L1_BYTES", "1KiB", "should not be more than l1_bytes, 1024"),
        ("MAX_ENTRY_AGE", "1s", "should not be less than max_staleness"),
        ("WORKER_INDEX", "1", "should be less than workers, 1"),
        ("AUTH", "trust", "'relay' or 'scram'"),
        ("USERS_FILE", "users.txt", "has no effect with auth = relay"),
        ("AUTH_QUERY", "SELECT f($1)", "TIDEGATE_AUTH_QUERY = SELECT f($1): has no effect with auth = relay"),
        ("AUTH_QUERY", "SELECT 1", "it has no $1"),
        ("WORKERS", "-1", "1 to 256; 0: as many as there are cores"),
        ("LISTEN_UNIX", "run", "TIDEGATE_LISTEN_UNIX = 'run': it is no absolute path"),
        ("LISTEN_UNIX_PERMISSIONS", "778", "as an octal number, such as 0770"),
        ("MAX_CLIENTS", "0", "greater than or equal to 1"),
        ("CLIENT_IDLE_TIMEOUT", "-1s", "a duration"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_with_what_would_be_right(
    tmp_path: Path, variable: str, value: str, advice: str
) -> None:
    variables = {"DATABASE_URL": _URL, variable: value}
    if variable == "MAX_ENTRY_AGE":
        variables["MAX_STALENESS"] = "2s"
    assert advice in _refusal(tmp_path, **variables)


@pytest.mark.parametrize(
    "url",
    ["mysql://app:hunter2@db/shop", "postgresql://app:hunter2@a,b/x", "app:hunter2@db", "postgresql://u:hunter2/@d"],
)
def test_a_wrong_url_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    assert "TIDEGATE_DATABASE_URL = " in _refusal(tmp_path, DATABASE_URL=url)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('[cache.Orders]\ndatabase_url = "postgresql://a@b/c"', "a cache's name should be lower-case letters"),
        ("[process]\nlog_levle = 1", "process.log_levle in"),
        ("[proces]\nlog_level = 1", "there is no such section"),
        ("cache = 1", "there is no such section"),
        ("[cache]\norders = 1", "there is no such section"),
        ("[cache.orders]\ndatabase_url = 5", "it should be text"),
        ('[cache.orders]\ndatabase_url = "postgresql://app:hunter2@db/x', "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, advice: str) -> None:
    assert advice in _refusal(tmp_path, text)


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    message = _refusal(tmp_path, DATABASE_URL="x", MAX_STALENESS="x", NONSENSE="x", WORKERS="x")
    assert len(message.splitlines()) == 4


def test_an_unqualified_variable_is_refused_where_there_are_several_caches(tmp_path: Path) -> None:
    text = f'[cache.a]\ndatabase_url = "{_URL}"\n[cache.b]\ndatabase_url = "{_URL}"\nlisten = "127.0.0.1:6433"'
    assert "there are several caches (a, b)" in _refusal(tmp_path, text, MAX_STALENESS="2s")


def test_two_caches_cannot_share_an_address(tmp_path: Path) -> None:
    text = f'[cache.a]\ndatabase_url = "{_URL}"\n[cache.b]\ndatabase_url = "{_URL}"\n'
    assert "cache.b.listen = 127.0.0.1:6432: the cache a has that address" in _refusal(tmp_path, text)


def test_no_secret_is_in_a_repr_or_in_what_is_shown(tmp_path: Path) -> None:
    settings = _load(tmp_path, DATABASE_URL=_URL, REDIS_URL="redis://:hunter2@r/0")
    cache = settings.caches["default"]
    for text in (repr(settings), str(settings), repr(cache.upstream), str(cache.shown()), settings.model_dump_json()):
        assert "hunter2" not in text
    assert cache.shown()["database_url"] == "postgresql://app:***@db:5432/shop"


def test_scram_needs_something_to_check_passwords_with(tmp_path: Path) -> None:
    cache = _load(tmp_path, DATABASE_URL=_URL, AUTH="scram").caches["default"]
    assert "pg_authid" in cache.auth_query
    assert "set users_file" in _refusal(tmp_path, DATABASE_URL=_URL, AUTH="scram", AUTH_QUERY="off")
    cache = _load(tmp_path, DATABASE_URL=_URL, AUTH="scram", AUTH_QUERY="off", USERS_FILE="u.txt").caches["default"]
    assert cache.users_file == Path("u.txt").absolute()  # a service of a stack runs in another folder
