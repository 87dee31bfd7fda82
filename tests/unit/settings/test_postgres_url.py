"""URLs of Postgres: what is taken makes a connection of its client library, the rest is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from galaxy_notify.errors import ConfigurationError
from galaxy_notify.settings import settings_from
from galaxy_notify.settings.postgres_url import files_of

psycopg = pytest.importorskip("psycopg")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h/d",
        "postgres://u:p%40%2F%23@h:5432/d",
        "postgresql://u@[::1]/d?sslmode=require",
        "postgresql://u@h1:5432,h2:5432/d?target_session_attrs=read-write",
        "postgresql://u@h1,[fe80::1]:1,10.0.0.1/d%2Fe?target_session_attrs=primary",
        "postgresql:///d?host=/run/postgresql",
        "postgresql://u@/d?host=/run/a,/run/b&port=5432,5433",
        "postgresql://u@%2Frun%2Fpostgresql:5433/d",
        "postgresql://h/d?sslmode=verify-full&sslrootcert=system",
    ],
)
def test_url__that_is_taken_is_one_to_the_client(url: str) -> None:
    """The library reads each form that passes, and finds host and database in it."""
    assert settings_from({"feed": {"url": url}}).feed.url == url
    read = psycopg.conninfo.conninfo_to_dict(url)
    assert read["host"]
    assert read["dbname"] in ("d", "d/e")


@pytest.mark.parametrize(
    "url",
    [
        "Embedded", "h/d", "http://h/d", "POSTGRESQL://h/d", "postgresql:h/d",
        "postgresql://h", "postgresql://h/", "postgresql:///d", "postgresql://u@/d",
        "postgresql://h/d/e", "postgresql://h/d#x", " postgresql://h/d", "postgresql://h/d\n",
        "postgresql://u:s3cr3t/x@h/d", "postgresql://u:s3cr3t#x@h/d", "postgresql://u:s3cr3t%x@h/d",
        "postgresql://u:s3cr3t%00@h/d", "postgresql://u:s3cr3t?x@h/d",
        "postgresql://h:0/d", "postgresql://h:65536/d", "postgresql://h:x/d", "postgresql://h:1:2/d",
        "postgresql://h1,,h2/d", "postgresql://[::x]/d", "postgresql://[::1/d", "postgresql://h%20x/d",
        "postgresql://h/d?sslmode=on", "postgresql://h/d?sslmode=", "postgresql://h/d?sslmode",
        "postgresql://h/d?sslmode=require&sslmode=require", "postgresql://h/d?options=-c%20x",
        "postgresql://h/d?password=s3cr3t", "postgresql://h/d?target_session_attrs=standby",
        "postgresql://h/d?host=/run", "postgresql://h/d?port=1", "postgresql:///d?host=",
        "postgresql:///d?host=/run&port=x", "postgresql://h/d?sslrootcert=/ca.pem",
        "postgresql://h/d?sslmode=prefer&sslrootcert=/ca.pem",
        "postgresql://h/d?sslmode=require&sslcert=/a.pem",
        "postgresql://h/d?sslmode=require&sslrootcert=system",
    ],
)  # fmt: skip
def test_url__of_another_form_is_refused_by_name(url: str) -> None:
    """What the library refuses, or would take for something else; on one line, without secrets."""
    with pytest.raises(ConfigurationError) as error:
        settings_from({"feed": {"url": url}}, source="here")
    line = str(error.value)
    assert line.startswith("feed.url: m")
    assert "\n" not in line
    assert "s3cr3t" not in line


def test_files__are_those_that_the_url_names() -> None:
    """Certificates and keys, but not the certificates of the system."""
    url = "postgresql://h/d?sslmode=verify-full&sslrootcert={}&sslcert=/c.pem&sslkey=k.pem"
    own = {"sslcert": Path("/c.pem"), "sslkey": Path("k.pem")}
    assert files_of(url.format("/ca.pem")) == own | {"sslrootcert": Path("/ca.pem")}
    assert files_of(url.format("system")) == own
    assert files_of("embedded") == files_of("") == {}
