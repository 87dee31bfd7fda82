// What this page has sent, and what the bells have shown of it. Nothing else counts: no process of
// the deployment is asked.

/**
 * How long something may still be on its way, in ms, before it counts as lost: from its due time, or
 * from the moment on in which all processes work and all bells are live, if that is later. Before it,
 * it waits for them.
 */
export const LOST_MS = 20000;

export const makeTally = (now = Date.now) => {
  const sent = new Map(), rang = new Map(), seen = new Set(), twice = new Set();
  let calm = Infinity;
  const key = (user, id) => `${user}/${id}`;
  return {
    /** Note whether all processes work and all bells are live. */
    settle: (isCalm) => {
      calm = isCalm ? Math.min(calm, now()) : Infinity;
    },
    /** Note that a notification was accepted for users. */
    send: ({ id, users, due_at_ms: due }) => users.forEach((user) => sent.set(key(user, id), due)),
    /** Note that a bell rang for a notification. */
    ring: (user, id) => {
      const name = key(user, id), times = (rang.get(name) ?? 0) + 1;
      rang.set(name, times);
      seen.add(name);
      if (times > 1) twice.add(name);
    },
    /** Note what a bell has in its list now. */
    list: (user, ids) => {
      const found = new Set();
      for (const id of ids) {
        const name = key(user, id);
        if (found.has(name)) twice.add(name);
        found.add(name);
        seen.add(name);
      }
    },
    /** Return whether a bell has shown a notification. */
    isShown: (user, id) => seen.has(key(user, id)),
    /** Count, as of now. */
    count: () => {
      let shown = 0, lost = 0;
      for (const [name, due] of sent) {
        if (seen.has(name)) shown += 1;
        else if (now() > Math.max(due, calm) + LOST_MS) lost += 1;
      }
      const repeated = [...twice].filter((name) => sent.has(name)).length;
      return { sent: sent.size, shown, waiting: sent.size - shown - lost, repeated, lost };
    },
  };
};
