"""A feed with many rows, of which one user has a large share.

The rows are made by Postgres, and their indexes after them: as compact as they are after a REINDEX.
"""

from __future__ import annotations

from typing import Any

import psycopg

from tests.support.postgres import Postgres

BIG, SHARE, USERS = "big", 25, 200_000

#: A third of the rows is read. Their times are apart, and newest last.
_FILL = b"""
    INSERT INTO feed_item (
        user_id, notification_id, type, producer, severity, title, body, payload, created_at, at,
        read_at, seen_at
    )
    SELECT
        CASE WHEN n %% %(share)s = 0 THEN 'big' ELSE 'user-' || (random() * %(users)s)::int END,
        lpad(to_hex(1700000000000 + n), 12, '0') || substr(md5(n::text), 1, 20),
        'game.turn.' || n %% 7, 'lobby', 'info', 'Your turn', 'Turn ' || n || ' is yours now',
        decode(md5(n::text) || md5((n + 1)::text) || md5((n + 2)::text), 'hex'),
        now(), now() - (%(rows)s - n) * interval '10 milliseconds',
        CASE WHEN n %% 3 = 0 THEN now() END, CASE WHEN n %% 3 = 0 THEN now() END
    FROM generate_series(1, %(rows)s::bigint) AS n
"""
_COUNT = b"""
    INSERT INTO feed_user (user_id, unread, unseen)
    SELECT user_id, count(*) FILTER (WHERE unread), count(*) FILTER (WHERE unseen)
    FROM feed_item GROUP BY user_id
"""
_INDEXES = b"""
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename = 'feed_item'
        AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE contype IN ('p', 'u'))
"""


def fill(postgres: Postgres, rows: int) -> None:
    """Fill an empty feed."""
    with postgres.client() as client:
        client.execute(b"SET statement_timeout = 0")
        client.execute(b"SET maintenance_work_mem = '1GB'")
        indexes = client.execute(_INDEXES).fetchall()
        for name, _ in indexes:
            _run(client, f"DROP INDEX {name}")
        client.execute(_FILL, {"rows": rows, "share": SHARE, "users": USERS})
        client.execute(_COUNT)
        for _, definition in indexes:
            _run(client, definition)
        client.execute(b"VACUUM (FREEZE, ANALYZE)")
        client.execute(b"CHECKPOINT")


def _run(client: psycopg.Connection[Any], text: str) -> None:
    client.execute(text.encode())
