-- Channels by which items were delivered too, each once. The counts do not change. The users are
-- locked.
UPDATE feed_item
SET delivered_via = feed_item.delivered_via || new.channels
FROM (
    SELECT feed_item.id, array_agg(DISTINCT given.channel) AS channels
    FROM unnest(%(user_id)s::text[], %(notification_id)s::text[], %(channel)s::text[])
        AS given (user_id, notification_id, channel)
    INNER JOIN feed_item
        ON feed_item.notification_id = given.notification_id
        AND feed_item.user_id = given.user_id
    WHERE
        feed_item.user_id = ANY(%(users)s::text[])
        AND feed_item.retracted_at IS NULL
        AND NOT given.channel = ANY(feed_item.delivered_via)
    GROUP BY feed_item.id
) AS new
WHERE feed_item.id = new.id
