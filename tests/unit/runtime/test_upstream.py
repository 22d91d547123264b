"""A `DATABASE_URL` in every form that applications paste."""

from pathlib import Path

import psycopg.conninfo
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.shared.runtime.upstream import Upstream, parse_upstream


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("postgresql://app:pw@db:5433/shop", Upstream("db", 5433, "app", "shop", "pw")),
        ("postgres://app@db", Upstream("db", 5432, "app", "app")),
        ("postgresql+psycopg://app@db/shop", Upstream("db", 5432, "app", "shop")),
        ("postgresql+asyncpg://app:p%40ss%2Fw@db/shop", Upstream("db", 5432, "app", "shop", "p@ss/w")),
        ("postgresql://app:p@ss@db/shop", Upstream("db", 5432, "app", "shop", "p@ss")),
        ("postgresql://app@[::1]:5433/shop", Upstream("::1", 5433, "app", "shop")),
        ("postgresql://app@/shop?host=/run/postgresql", Upstream("/run/postgresql", 5432, "app", "shop")),
        ("postgresql://app@%2Frun%2Fpostgresql/shop", Upstream("/run/postgresql", 5432, "app", "shop")),
        ("postgresql:///shop?user=app&password=pw&host=db", Upstream("db", 5432, "app", "shop", "pw")),
        ("postgresql://app@/shop", Upstream("localhost", 5432, "app", "shop")),
        (
            "postgresql://app@db/shop?sslmode=require&channel_binding=require&connect_timeout=3&application_name=web",
            Upstream("db", 5432, "app", "shop", parameters=(("sslmode", "require"),)),
        ),
        ("host=db port=5433 dbname=shop user=app", Upstream("db", 5433, "app", "shop")),
        (r"host = db  user=app password='it\'s a \\ secret'", Upstream("db", 5432, "app", "app", r"it's a \ secret")),
        ("user=app host=db password=", Upstream("db", 5432, "app", "app")),
    ],
)
def test_it_is_taken_apart(text: str, upstream: Upstream) -> None:
    assert parse_upstream(text) == upstream


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "postgresql://USER"),
        ("shop", "postgresql://USER"),
        ("mysql://app:hunter2@db/shop", "begin with postgresql://"),
        ("postgresql://db/shop", "names no user"),
        ("postgresql://app:hunter2@a,b/shop", "several hosts"),
        ("postgresql://app:hunter2@db:port/shop", "port should be"),
        ("postgresql://app:hunter2@db:0/shop", "port should be"),
        ("postgresql://app:hunter2@[::1/shop", "not closed"),
        ("postgresql://app:hun/ter2@db/shop", "%2F"),
        ("postgresql://app:hunter2@db/shop?schema=public", "parameter schema"),
        ("postgresql://app:hunter2@db/shop?krbsrvname=x", "parameter krbsrvname"),
        ("host=db user=app password='hunter2", "postgresql://USER"),
        ("host=db,db2 user=app", "one host"),
        ("postgresql://app:hunter2@db/shop?sslmode=on", "sslmode should be one of disable, allow, prefer"),
        ("postgresql://app:hunter2@db/shop?sslnegotiation=quick", "postgres or direct"),
        ("postgresql://app:hunter2@db/shop?sslnegotiation=direct", "sslmode should be require"),
        ("postgresql://app:hunter2@db/shop?sslrootcert=system&sslmode=require", "should be verify-full"),
    ],
)
def test_what_names_no_server_is_refused_without_its_secret(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as refusal:
        parse_upstream(text)
    assert "ter2" not in str(refusal.value)


def test_the_password_is_neither_in_the_repr_nor_in_the_masked_url() -> None:
    upstream = parse_upstream("postgresql://app:hunter2@db/shop?sslmode=require")
    assert "hunter2" not in repr(upstream)
    assert upstream.masked_url == "postgresql://app:***@db:5432/shop?sslmode=require"
    assert "hunter2" in upstream.url


def test_what_it_says_of_tls_is_read_as_libpq_reads_it() -> None:
    upstream = parse_upstream(
        "postgresql://app@db/shop?sslmode=verify-ca&sslrootcert=/etc/root.crt&sslcert=own.crt&sslkey=/own.key"
        "&sslnegotiation=direct"
    )
    assert upstream.sslmode == "verify-ca"
    assert upstream.direct_tls
    assert (upstream.sslrootcert, upstream.sslkey) == (Path("/etc/root.crt"), Path("/own.key"))
    assert upstream.sslcert == Path("own.crt").absolute()  # the services of a stack run in another folder
    assert parse_upstream(upstream.url) == upstream

    plain = parse_upstream("postgresql://app@db/shop")
    assert (plain.sslmode, plain.direct_tls, plain.sslrootcert, plain.sslcert) == ("prefer", False, None, None)

    system = parse_upstream("postgresql://app@db/shop?sslrootcert=system")
    assert (system.sslmode, system.sslrootcert, system.trusts_system_roots) == ("verify-full", None, True)


def test_a_unix_socket_has_a_path() -> None:
    assert parse_upstream("postgresql://app@/shop?host=/run&port=7").socket_path == "/run/.s.PGSQL.7"
    assert parse_upstream("postgresql://app@db/shop").socket_path is None


_text = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(
    host=st.sampled_from(["db", "10.0.0.1", "::1", "/run/postgresql", "db.example.org"]),
    port=st.integers(1, 65535),
    user=_text,
    database=_text.filter(lambda text: not text.endswith("/")),
    password=st.none() | _text,
    sslmode=st.none() | st.sampled_from(["disable", "require"]),
)
def test_every_url_reads_back_and_libpq_reads_the_same(
    host: str, port: int, user: str, database: str, password: str | None, sslmode: str | None
) -> None:
    parameters = () if sslmode is None else (("sslmode", sslmode),)
    upstream = Upstream(host, port, user, database, password, parameters)
    assert parse_upstream(upstream.url) == upstream
    assert psycopg.conninfo.conninfo_to_dict(upstream.url) == {
        "host": host,
        "port": str(port),
        "user": user,
        "dbname": database,
        **({} if password is None else {"password": password}),
        **dict(parameters),
    }


@given(st.text(max_size=60) | st.text("postgresql://@:/?=&'\\[]% ", max_size=40).map("postgresql://a@".__add__))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        upstream = parse_upstream(text)
    except ValueError:
        return
    assert parse_upstream(upstream.url).host == upstream.host
