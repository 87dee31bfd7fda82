// galaxy-notify: a user's notifications, by one stream for all tabs of a browser. See client.d.ts.

// The gateway serves this file without lines of comments and without indentation.
//
// Each tab has a cursor of its own, kept over reloads, and takes only what follows from it. One tab
// leads: it holds a lock, reads the stream, and passes all on by a channel. A tab that finds itself
// behind the one that leads reads what it has missed by a short stream of its own.

const PATH = "/v1/me/stream";

/** Return what takes the text of an event stream, cut anywhere, as the HTML standard has it. */
export function parser(onEvent, onRetry) {
  let rest = "", cr, kind = "", id = "", data = [];
  const take = (line) => {
    const [, name, value] = /^([^:]*):? ?([^]*)$/.exec(line);
    if (!line) {
      if (data.length) onEvent(kind || "message", data.join("\n"), id);
      kind = "";
      data = [];
    } else if (name === "event") kind = value;
    else if (name === "data") data.push(value);
    else if (name === "id" && !value.includes("\0")) id = value;
    else if (name === "retry" && /^\d+$/.test(value)) onRetry(+value);
  };
  return (text) => {
    if (!text) return;
    if (cr && text[0] === "\n") text = text.slice(1);
    cr = text.endsWith("\r");
    const lines = (rest + text).split(/\r\n|\r|\n/);
    rest = lines.pop();
    lines.forEach(take);
  };
}

/** How many events a cursor is ahead of one's own; NaN where the two do not fit together. */
export function distance(own, other) {
  const [epoch, offset, check] = own.split(".");
  const [epoch2, offset2, check2] = other.split(".");
  // 0.0.0 is before the first event of any epoch.
  if (epoch !== "0" && epoch !== epoch2) return NaN;
  return offset === offset2 && check !== check2 ? NaN : offset2 - offset;
}

/** The pause that the gateway asked for, and full jitter after failures. */
export function pauseMs(retryMs, failures, random = Math.random) {
  return retryMs + (failures && random() * Math.min(60000, 1000 * 2 ** failures));
}

/** Note an id; return whether it is new among the last 500. */
export function isNew(seen, id) {
  if (seen.has(id)) return false;
  if (seen.add(id).size > 500) seen.delete(seen.values().next().value);
  return true;
}

const subjectOf = (token) =>
  JSON.parse(atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub;

const nameOf = async (...words) => {
  const text = encodeURI(words);
  // Without TLS there is no hash, but no lock either: only this tab uses the name.
  const hash = await crypto.subtle?.digest("SHA-256", new TextEncoder().encode(text));
  return "gn-" + btoa(hash ? String.fromCharCode(...new Uint8Array(hash)) : text);
};

/** Show a page the notifications of a user until `close`; client.d.ts has the types. */
export function connect({ url, token, silenceMs = 60000, ...handlers }) {
  const stream = `${url}`.replace(/(\/v1\/me\/stream)?\/*$/, PATH);
  const seen = new Set(), closing = new AbortController();
  let state = "connecting", reason, ended, wake;
  let user, name, cursor, counts;
  let request, why, retryMs = 1000, failures = 1, doubted, isAsked, isOpen;
  // `at` is the cursor of the tab that leads: it reads the stream for all.
  let channel, lock, leads, at, heardAt, readAt, isIdle;

  const give = (handler, value) => {
    if (ended && handler !== "onStatus") return;
    try {
      handlers[handler]?.(value);
    } catch (error) {
      // The browser reports it, and the stream goes on.
      queueMicrotask(() => { throw error; });
    }
  };
  const post = (message) =>
    channel?.postMessage({ ...message, at: cursor, state, reason, counts });
  const say = (next, cause) => {
    if (state === "closed" || (next === state && cause === reason)) return;
    [state, reason] = [next, cause];
    give("onStatus", { state, live: state === "live", reason });
    if (leads) post();
  };
  const count = (value) => {
    // They come from several places, and in any order.
    if (!value || (value.epoch - counts?.epoch || value.version - counts?.version) <= 0) return;
    give("onCounts", (counts = value));
  };
  const save = (forgets) => {
    try {
      if (forgets) delete sessionStorage[name];
      else if (cursor) sessionStorage[name] = JSON.stringify([cursor, ...seen]);
    } catch {
      // Storage is forbidden or full: a reload begins at the top.
    }
  };
  const sleep = (ms) => new Promise((done) => {
    const timer = setTimeout(done, ms);
    wake = () => done(clearTimeout(timer));
  });
  // A tab that does not lead reads what it alone has missed.
  const needsStream = () => leads || (cursor && at && !(distance(cursor, at) <= 0));

  // Hand over what has its place among the events once; return whether it follows.
  const follow = (kind, data, id) => {
    const ahead = cursor ? distance(cursor, id) : 1;
    if (ahead !== 1) return ahead <= 0;
    cursor = id;
    const isFirst = isNew(seen, data.notification_id);
    // What was taken back is never shown, even if it comes again later than the gateway remembers.
    if (kind === "retract") give("onRetract", data);
    else if (isFirst) give("onNotification", data);
    return true;
  };
  const deliver = (kind, data) => {
    if (kind === "reset") {
      cursor = data.cursor;
      give("onReset", data);
    } else if (kind === "counts") count(data);
    else if (kind === "message") give("onMessage", data);
  };

  const receiver = () => {
    // What one connection sends must be in order by itself, too.
    let place = cursor;
    return (kind, text, id) => {
      if (ended) return;
      let data = JSON.parse(text);
      if (kind === "hello") {
        failures = 0;
        // A cursor stays: the events behind it, or a reset, are still to come.
        place = cursor ??= id;
        isOpen = true;
        if (!leads) return;
        count(data.counts);
        say("live");
        return post();
      }
      if (kind === "bye") {
        [retryMs, why, isAsked] = [data.retry_ms, data.reason, true];
        if (why !== "logout") return;
        post({ kind });
        return end(why);
      }
      if (kind === "notification" || kind === "retract") {
        const ahead = place ? distance(place, id) : 1;
        place = id;
        if ((ahead !== 0 && ahead !== 1) || !follow(kind, data, id)) {
          // Asked again, the gateway sends what is missing, or a reset. Else this is one.
          if (doubted !== cursor) throw (doubted = cursor);
          kind = "reset";
          data = { reason: ahead > 1 ? "trimmed" : "rolled_back", cursor: id };
        }
      } else if (kind === "reset") place = data.cursor;
      else if (!leads) return;
      else if (kind === "status") return say(data.live ? "live" : "late");
      deliver(kind, data);
      if (leads) post({ kind, data, id });
    };
  };

  const read = async () => {
    const own = (request = new AbortController()), { signal } = own;
    const aborted = new Promise((_, fail) => signal.addEventListener("abort", fail));
    let timer;
    const watch = () => {
      readAt = Date.now();
      clearTimeout(timer);
      timer = setTimeout(() => own.abort((why = "silent")), silenceMs);
    };
    watch();
    try {
      why = "token";
      const bearer = await Promise.race([token(), aborted]);
      if (subjectOf(bearer) !== user) return end("user");
      why = "network";
      const headers = { Authorization: `Bearer ${bearer}` };
      if (cursor) headers["Last-Event-ID"] = cursor;
      const how = { headers, signal, cache: "no-store", credentials: "omit" };
      const { status, body } = await fetch(stream, how);
      if (status !== 200) throw (why = status === 401 ? "unauthorized" : why);
      const reader = body.getReader(), decoder = new TextDecoder();
      const feed = parser(receiver(), (ms) => (retryMs = ms));
      while (needsStream()) {
        const { done, value } = await reader.read();
        if (done) return;
        watch();
        try {
          feed(decoder.decode(value, { stream: true }));
        } finally {
          if (!ended) save();
        }
      }
    } finally {
      isOpen = false;
      clearTimeout(timer);
      own.abort();
    }
  };

  const lead = () => {
    leads = true;
    // The stream of its own that it reads is now that of all.
    if (isOpen) say("live");
    wake?.();
  };
  const elect = (steal) => {
    lock?.abort();
    const own = (lock = new AbortController()), { signal } = own;
    const hold = () => new Promise((release) => lead(signal.addEventListener("abort", release)));
    navigator.locks.request(name, steal ? { steal } : { signal }, hold).catch((error) => {
      if (ended || lock !== own) return;
      // Locks are forbidden here.
      if (error.name !== "AbortError") return lead();
      // While this tab was frozen it gave no answer, and another one took the lock.
      leads = false;
      request?.abort();
      elect();
    });
  };
  // What the tab that leads passes on.
  const hear = ({ data: message }) => {
    const { kind, data, id } = message;
    if (message.hi) {
      // A frozen tab may still hear, but it does not read.
      if (leads && Date.now() < readAt + 2 * silenceMs) post();
      return;
    }
    // The lock of the tab that left may have come before its last word.
    if (kind === "bye") return end("logout");
    if (leads) return;
    heardAt = Date.now();
    if (kind === "notification" || kind === "retract") follow(kind, data, id);
    else if (kind !== "reset" || data.cursor !== cursor) deliver(kind, data);
    at = message.at;
    cursor ??= at;
    count(message.counts);
    say(message.state, message.reason);
    save();
    if (isIdle && needsStream()) wake();
  };

  const join = async () => {
    why = "token";
    user = subjectOf(await token());
    name = await nameOf(stream, user);
    try {
      const [stored, ...ids] = JSON.parse(sessionStorage[name]);
      cursor = stored;
      ids.forEach((id) => seen.add(id));
    } catch {
      // Nothing is stored.
    }
    if (ended) return;
    if (!navigator.locks || !globalThis.BroadcastChannel) return lead();
    channel = new BroadcastChannel(name);
    channel.onmessage = hear;
    elect();
  };
  // A tab may be frozen with the lock: one that gets no answer within 5 s takes it.
  const watchLeader = async () => {
    const asked = Date.now();
    isIdle = true;
    channel.postMessage({ hi: true });
    await sleep(5000);
    if (!needsStream() && !ended) await (heardAt >= asked ? sleep(silenceMs) : elect(true));
    isIdle = false;
  };
  const run = async () => {
    while (!ended) {
      isAsked = false;
      const task = !name ? join : needsStream() ? read : watchLeader;
      try {
        await task();
        if (task !== read) continue;
      } catch {
        // The next attempt is the answer, whatever it was.
      }
      if (ended || (name && !needsStream())) continue;
      if (leads || !name) say("connecting", why);
      await sleep(pauseMs(retryMs, failures++));
    }
  };

  // A pause that the gateway asked for is kept.
  const poke = () => isAsked || wake?.();
  // Of its options a listener reads the signal, which ends it.
  addEventListener("online", poke, closing);
  addEventListener("offline", () => request?.abort((why = "offline")), closing);
  document.addEventListener("visibilitychange", () => document.hidden || poke(), closing);

  const end = (cause) => {
    if (ended) return;
    save(cause === "logout");
    ended = true;
    leads = false;
    for (const one of [closing, lock, request]) one?.abort();
    channel?.close();
    say("closed", cause);
    wake?.();
  };

  run();
  return { close: () => end("closed"), get state() { return state; } };
}
