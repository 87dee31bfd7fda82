-- The feed: each user's notifications, how many are unread and unseen, and the epoch of the counts.

CREATE TABLE feed_epoch (
    is_single boolean PRIMARY KEY DEFAULT true CHECK (is_single),
    epoch bigint NOT NULL
);

-- Epochs grow, also over databases that replace each other: they are the time in ms.
INSERT INTO feed_epoch (epoch)
VALUES (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);

-- Changed by every change to the items of its user, in the same statement; locked before it.
CREATE TABLE feed_user (
    user_id text COLLATE "C" PRIMARY KEY CHECK (octet_length(user_id) BETWEEN 1 AND 1024),
    unread bigint NOT NULL DEFAULT 0,
    unseen bigint NOT NULL DEFAULT 0,
    -- It begins at the time in ms, so that it also grows for a user who was forgotten and comes back.
    version bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- Not a B-tree: with one, every change of the counts would have to write all indexes of the row.
CREATE INDEX feed_user_changed_at ON feed_user USING brin (changed_at)
WITH (pages_per_range = 8, autosummarize = on);

CREATE TABLE feed_item (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id text COLLATE "C" NOT NULL,
    notification_id text COLLATE "C" NOT NULL,
    type text NOT NULL,
    producer text NOT NULL,
    severity text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    -- msgpack; never queried.
    payload bytea NOT NULL,
    -- By the clock of the producer.
    created_at timestamptz NOT NULL,
    -- When it came into the feed, by the clock of this server, under the lock of its user: a list
    -- in this order only grows at its top.
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz,
    read_at timestamptz,
    archived_at timestamptz,
    -- Such a row has no text. It stays, so that the same notification is not inserted again.
    retracted_at timestamptz,
    delivered_via text[] NOT NULL DEFAULT '{}',
    unread boolean NOT NULL GENERATED ALWAYS AS
        (read_at IS NULL AND archived_at IS NULL AND retracted_at IS NULL) STORED,
    unseen boolean NOT NULL GENERATED ALWAYS AS
        (seen_at IS NULL AND archived_at IS NULL AND retracted_at IS NULL) STORED,
    -- The notification comes first: ids begin with the time, so new entries lie side by side, and
    -- the users of a notification are found.
    CONSTRAINT feed_item_once UNIQUE (notification_id, user_id),
    -- Both ids together fit into an entry of an index, whether or not they can be compressed.
    CONSTRAINT feed_item_ids CHECK (
        octet_length(user_id) BETWEEN 1 AND 1024
        AND octet_length(notification_id) BETWEEN 1 AND 1024
    ),
    -- Twice the default of limits.max_payload_bytes; a page of a list has 200 items.
    CONSTRAINT feed_item_size CHECK (
        octet_length(type) + octet_length(producer) + octet_length(severity)
        + octet_length(title) + octet_length(body) + octet_length(payload) <= 524288
    )
);

-- A row is in exactly one of these three.
CREATE INDEX feed_item_listed ON feed_item (user_id, at DESC, id DESC)
WHERE archived_at IS NULL AND retracted_at IS NULL;

CREATE INDEX feed_item_archived ON feed_item (user_id, at DESC, id DESC)
WHERE archived_at IS NOT NULL AND retracted_at IS NULL;

CREATE INDEX feed_item_retracted ON feed_item (user_id)
WHERE retracted_at IS NOT NULL;

CREATE INDEX feed_item_unread ON feed_item (user_id, at DESC, id DESC) WHERE unread;

CREATE INDEX feed_item_unseen ON feed_item (user_id, at DESC, id DESC) WHERE unseen;
