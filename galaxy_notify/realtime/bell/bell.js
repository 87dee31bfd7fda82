// The bell page of a gateway: what a user is notified of, live, in a frame of another page.
//
// It runs only what lies here: what notifications say is text. The page around it gives the tokens
// and is given what the bell shows; it is one of realtime.bell_origins, or browsers show no frame.
import { connect } from "/client.js";

const FEED = "/v1/me/feed";
const MOST = 50;
const CHECK = "M5 12.5l4.5 4.5L19 7.5";
const [bell, badge, state, all, news, list, none] =
  ["bell", "badge", "state", "all", "news", "list", "none"].map((id) => document.getElementById(id));
// Lines by the id of their notification; what rang and is not in the feed yet; what was taken back.
const lines = new Map(), fresh = new Map(), gone = new Set();
let embedder, waiting = [], listed = [], counts, held, expires = 0, isLoading, isStale, failures, wake;

const give = (kind, more) => embedder && parent.postMessage({ galaxyNotify: kind, ...more }, embedder);

const claims = (text) => JSON.parse(atob(text.split(".")[1].replace(/-/g, "+").replace(/_/g, "/")));

// The page around it is asked for a token where none is valid for another half minute.
const token = async () => {
  if (!held || Date.now() > expires) {
    held = await new Promise((given) => {
      waiting.push(given);
      give("token");
    });
    expires = 1000 * claims(held).exp - 30000;
  }
  return held;
};

const hear = ({ source, origin, data }) => {
  if (source !== parent || source === window || (embedder && origin !== embedder)) return;
  const kind = data?.galaxyNotify;
  if (kind === "open" && !embedder) {
    embedder = origin;
    begin();
  } else if (kind === "token" && typeof data.token === "string") {
    waiting.splice(0).forEach((given) => given(data.token));
  } else if (kind === "retry") {
    // The client connects at once, as where the network is there again.
    dispatchEvent(new Event("online"));
  }
};

const ask = async (path = "", body = undefined) => {
  const headers = { Authorization: `Bearer ${await token()}` };
  if (body) headers["Content-Type"] = "application/json";
  const how = { headers, method: body ? "POST" : "GET", body: body && JSON.stringify(body) };
  const answer = await fetch(FEED + path, { ...how, cache: "no-store", credentials: "omit" });
  if (answer.status === 401) held = undefined;
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
};

const pause = (ms) => new Promise((done) => {
  const timer = setTimeout(done, ms);
  wake = () => done(clearTimeout(timer));
});

// What is marked is shown so at once, and as the feed has it when that answers.
const mark = async (path, body) => {
  try {
    count(await ask(path, body));
  } catch {
    // The next load shows what became of it.
  }
  load();
};

const element = (name, className, text = "") => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};

const icon = (path) => {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg"), drawn = document.createElementNS(space, "path");
  const about = { viewBox: "0 0 24 24", width: 16, height: 16, "aria-hidden": true, fill: "none" };
  const stroke = { stroke: "currentColor", "stroke-width": 2.4, "stroke-linecap": "round" };
  Object.entries({ ...about, ...stroke }).forEach(([name, value]) => svg.setAttribute(name, value));
  drawn.setAttribute("d", path);
  svg.append(drawn);
  return svg;
};

const makeLine = ({ notification_id: id, type, severity, title, body, created_at_ms: at }) => {
  const line = element("li", "new");
  const text = element("div", "text"), about = element("span", "about");
  const button = element("button", "mark");
  const isUrgent = severity === "critical";
  line.classList.toggle("urgent", isUrgent);
  line.dataset.id = id;
  text.append(element("strong", "", title || type));
  if (body) text.append(element("p", "", body));
  if (isUrgent) about.append(element("b", "", "Urgent"), " · ");
  about.append(new Date(at).toLocaleTimeString());
  text.append(about);
  button.type = "button";
  button.append(icon(CHECK));
  button.onclick = () => toggle(line);
  line.onclick = ({ target }) => {
    if (line.classList.contains("unread") && !button.contains(target)) toggle(line);
  };
  line.append(text, button);
  return line;
};

const label = (line, isUnread) => {
  const title = line.querySelector("strong").textContent;
  line.classList.toggle("unread", isUnread);
  line.querySelector(".mark").setAttribute("aria-label", `Mark as ${isUnread ? "read" : "unread"}: ${title}`);
};

const remember = (id, isUnread) => {
  const item = fresh.get(id) ?? listed.find((one) => one.notification_id === id);
  if (item) item.read_at_ms = isUnread ? null : Date.now();
  label(lines.get(id), isUnread);
};

const toggle = (line) => {
  const { id } = line.dataset, isUnread = line.classList.contains("unread");
  remember(id, !isUnread);
  mark(isUnread ? "/read" : "/unread", { ids: [id] });
};

// Lines stay the elements that they are: none loses the focus because another one comes.
const show = (items) => {
  const wanted = items.filter((item) => !gone.has(item.notification_id)).slice(0, MOST);
  const kept = new Set(wanted.map((item) => item.notification_id));
  for (const [id, line] of lines) {
    if (!kept.has(id)) {
      line.remove();
      lines.delete(id);
    }
  }
  wanted.forEach((item, place) => {
    const id = item.notification_id;
    const line = lines.get(id) ?? makeLine(item);
    lines.set(id, line);
    label(line, !item.read_at_ms);
    if (list.children[place] !== line) list.insertBefore(line, list.children[place] ?? null);
  });
  none.hidden = list.children.length > 0;
  give("shown", { ids: [...list.children].map((line) => line.dataset.id) });
};

const showAll = () => show([...[...fresh.values()].reverse(), ...listed]);

// One load at a time; what changes meanwhile is loaded behind it.
const load = async () => {
  isStale = true;
  wake?.();
  if (isLoading) return;
  isLoading = true;
  failures = 0;
  while (isStale) {
    isStale = false;
    try {
      const { items, counts: found } = await ask(`?limit=${MOST}`);
      listed = items;
      items.forEach((item) => fresh.delete(item.notification_id));
      count(found);
      showAll();
    } catch {
      await pause(500 + Math.random() * Math.min(30000, 1000 * 2 ** failures++));
      isStale = true;
    }
  }
  isLoading = false;
};

const count = (found) => {
  if (counts && (found.epoch - counts.epoch || found.version - counts.version) < 0) return;
  counts = found;
  const { unread } = found;
  badge.hidden = !unread;
  badge.textContent = unread > 99 ? "99+" : unread;
  all.disabled = !unread;
  document.title = unread ? `(${badge.textContent}) Notifications` : "Notifications";
  give("counts", { unread });
};

const ring = () => {
  bell.classList.remove("rings");
  void bell.offsetWidth; // the animation begins again
  bell.classList.add("rings");
};

const notified = (event) => {
  const { notification_id: id, title, type } = event;
  give("rang", { id });
  if (gone.has(id)) return;
  if (!listed.some((item) => item.notification_id === id)) fresh.set(id, event);
  if (fresh.size > MOST) fresh.delete(fresh.keys().next().value);
  showAll();
  news.textContent = `New: ${title || type}`;
  ring();
};

const retracted = ({ notification_id: id }) => {
  gone.add(id);
  fresh.delete(id);
  give("retracted", { id });
  showAll();
};

const begin = () => {
  connect({
    url: location.origin,
    token,
    onNotification: notified,
    onRetract: retracted,
    onReset: load,
    onCounts: (found) => {
      count(found);
      load();
    },
    onStatus: ({ state: now, reason }) => {
      state.dataset.state = now;
      state.textContent = { live: "live", late: "late: catching up", closed: "signed out" }[now] ?? "connecting …";
      give("status", { state: now, reason });
      if (reason === "unauthorized") held = undefined;
      if (now === "live") load();
    },
  });
  load();
};

all.onclick = () => {
  const newest = listed[0]?.notification_id;
  if (!newest) return;
  listed.forEach((item) => lines.has(item.notification_id) && remember(item.notification_id, false));
  // What comes meanwhile stays unread.
  mark("/read", { all: true, until: newest });
};
addEventListener("message", hear);
if (parent === window) none.textContent = "This page is shown inside of another one, which signs its user in.";
