// The board: each route is a line with four stations. It moves a line, never makes it again, so that
// what changes is seen to move.

const CHANNELS = { in_app: "bell", email: "e-mail" };
const WORDS = {
  cancelled: "cancelled",
  expired: "expired",
  dead_letter: "could not be sent",
};
const SKIPPED = { read: "read in time: no e-mail" };

const inSeconds = (ms) => `${Math.max(0, Math.ceil(ms / 1000))} s`;

/** Return where a route is: its station (0 to 3), what to say, and its look. */
export const place = (route, isShown, now = Date.now()) => {
  const { status, channel, due_at_ms: due, at_ms: at } = route;
  const late = Math.max(0, at - due);
  if (status === "published") {
    return isShown
      ? { station: 3, look: "done", says: "shown by the bell" }
      : { station: 2, look: "moving", says: "in the stream, not shown yet" };
  }
  if (status === "delivered") return { station: 3, look: "done", says: `e-mailed ${late} ms after it was due` };
  if (status === "skipped") return { station: 3, look: "skipped", says: SKIPPED[route.reason] ?? "not needed" };
  if (status === "failed") return { station: 1, look: "late", says: `tries again: attempt ${route.attempts + 1}` };
  if (status === "pending") {
    if (route.sending) return { station: 2, look: "moving", says: "being sent" };
    if (due > now) {
      const isMail = channel === "email";
      return { station: 1, look: "waiting", says: isMail ? `e-mailed in ${inSeconds(due - now)}, unless read` : `due in ${inSeconds(due - now)}` };
    }
    return { station: 1, look: now - due > 400 ? "late" : "moving", says: "due: waits for a worker" };
  }
  return { station: 3, look: "late", says: WORDS[status] ?? status };
};

const make = (name, className, text = "") => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};

const makeLine = (route, name) => {
  const line = make("li", "route");
  const who = make("span", `who ${route.user}`, name[0]);
  who.setAttribute("aria-hidden", "true");
  const what = make("span", "what"), track = make("span", "track");
  const title = make("span", "title", route.title);
  if (route.urgent) title.classList.add("urgent");
  what.append(title, make("span", "way", `${CHANNELS[route.channel] ?? route.channel} · ${name}`));
  track.setAttribute("aria-hidden", "true");
  track.append(make("i", "rail"), make("i", "s s0"), make("i", "s s1"), make("i", "s s2"), make("i", "s s3"), make("i", "dot"));
  line.append(who, what, track, make("span", "says"));
  return line;
};

/** Return what shows routes in a list of the page; *nameOf* gives the name of a user. */
export const makeBoard = (list, nameOf, isShown) => {
  const lines = new Map();
  let shown = [];
  const settle = () => {
    for (const route of shown) {
      const line = lines.get(route.key);
      const { station, look, says } = place(route, isShown(route.user, route.id));
      line.dataset.station = station;
      line.dataset.look = look;
      const said = line.lastChild;
      if (said.textContent !== says) said.textContent = says;
    }
  };
  return {
    /** Show these routes, in this order. */
    show: (routes) => {
      shown = routes.map((route) => ({ ...route, key: `${route.id}/${route.channel}/${route.user}` }));
      const kept = new Set(shown.map(({ key }) => key));
      for (const [key, line] of lines) {
        if (!kept.has(key)) {
          line.remove();
          lines.delete(key);
        }
      }
      shown.forEach((route, at) => {
        let line = lines.get(route.key);
        if (!line) {
          line = makeLine(route, nameOf(route.user));
          line.dataset.station = 0;
          lines.set(route.key, line);
        }
        if (list.children[at] !== line) list.insertBefore(line, list.children[at] ?? null);
      });
      // A new line begins at its first station, and is seen to leave it.
      requestAnimationFrame(() => requestAnimationFrame(settle));
    },
    /** Show them again as they are by now: time has passed, or a bell has shown one. */
    settle,
  };
};
