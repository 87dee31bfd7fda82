// The stage: sends, kills, and counts what the bells show.
import { makeBoard } from "/routes.js";
import { makeTally } from "/tally.js";

const LOAD_MS = 200;
const LABELS = {
  worker: ["Worker", "publishes and e-mails"],
  "gateway-1": ["Gateway 1", "holds Ada's stream"],
  "gateway-2": ["Gateway 2", "holds Grace's stream"],
};
const at = (id) => document.getElementById(id);
const make = (name, className, text = "") => {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
};
const set = (node, text) => {
  if (node.textContent !== `${text}`) node.textContent = text;
};

const post = async (path, body) => {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.detail);
  return said;
};

const about = await (await fetch("/about.json")).json();
const people = new Map(about.people.map((person) => [person.user, { ...person }]));
const processes = new Map();
const tally = makeTally();
const board = makeBoard(at("routes"), (user) => people.get(user)?.name ?? user, tally.isShown);
set(at("delay"), about.email_delay_ms / 1000);

// --- the counts ------------------------------------------------------------------------------

const showTally = () => {
  const isLive = [...people.values()].every(({ state }) => state === "live");
  tally.settle(isLive && [...processes.values()].every(({ ready }) => ready));
  const counts = tally.count();
  for (const [name, value] of Object.entries(counts)) set(at(name), value);
  for (const name of ["repeated", "lost"]) at(name).parentElement.classList.toggle("bad", counts[name] > 0);
  at("waiting").parentElement.classList.toggle("busy", counts.waiting > 0);
};
let isDrawn = true;
const draw = () => {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => {
    isDrawn = true;
    showTally();
    board.settle();
  });
};
setInterval(draw, 250);

// --- two people and their bells --------------------------------------------------------------

const tell = (person, kind, more) =>
  person.frame.contentWindow?.postMessage({ galaxyNotify: kind, ...more }, person.origin);

const hear = async ({ source, origin, data }) => {
  const person = [...people.values()].find((one) => one.frame.contentWindow === source);
  // Only a bell, from the gateway that it is framed from, is believed.
  if (!person || origin !== person.origin || typeof data?.galaxyNotify !== "string") return;
  const { user } = person;
  if (data.galaxyNotify === "token") tell(person, "token", await post("/token", { user }));
  else if (data.galaxyNotify === "rang") tally.ring(user, data.id);
  else if (data.galaxyNotify === "shown") tally.list(user, data.ids);
  else if (data.galaxyNotify === "status") {
    person.state = person.card.dataset.state = data.state;
  }
  draw();
};

const makePerson = (person) => {
  const card = make("section", "card person"), head = make("div", "head");
  const title = make("h2", "", person.name), avatar = make("span", `who ${person.user}`, person.name[0]);
  const mailbox = make("div", "mailbox"), says = make("span", "link", `by ${LABELS[person.gateway][0].toLowerCase()}`);
  avatar.setAttribute("aria-hidden", "true");
  card.setAttribute("aria-label", person.name);
  card.classList.add(person.user);
  head.append(avatar, title, says);
  const frame = make("iframe", "bell");
  frame.title = `The bell of ${person.name}`;
  const mails = make("ol", "mails");
  mails.setAttribute("role", "list");
  const empty = make("p", "empty", "No e-mail: everything was read, or none was asked for.");
  mailbox.append(make("h3", "", "E-mail"), mails, empty);
  card.append(head, frame, mailbox);
  const origin = new URL(person.bell).origin;
  Object.assign(person, { card, frame, mails, empty, origin, mailed: new Set() });
  frame.addEventListener("load", () => tell(person, "open"));
  frame.src = person.bell;
  at("people").append(card);
};

const showMails = (all) => {
  for (const { event_id: id, user, title, at_ms: when } of [...all].reverse()) {
    const person = people.get(user);
    if (!person || person.mailed.has(id)) continue;
    person.mailed.add(id);
    const mail = make("li", "mail");
    mail.append(make("strong", "", title), make("span", "", `not read in time · ${new Date(when).toLocaleTimeString()}`));
    person.mails.prepend(mail);
    person.empty.hidden = true;
    while (person.mails.children.length > 3) person.mails.lastChild.remove();
  }
};

addEventListener("message", hear);
people.forEach(makePerson);

// --- the form --------------------------------------------------------------------------------

// An answer that is lost costs nothing: the same key is the same notification.
const send = async (what) => {
  const asked = { ...what, key: crypto.randomUUID() };
  for (let tries = 1; ; tries += 1) {
    try {
      const receipt = await post("/send", asked);
      tally.send(receipt);
      draw();
      return receipt;
    } catch (error) {
      if (!(error instanceof TypeError) || tries > 20) throw error;
      await new Promise((done) => setTimeout(done, 300));
    }
  }
};

at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = new FormData(event.target);
  const to = given.get("to") === "both" ? [...people.keys()] : [given.get("to")];
  const in_s = +given.get("in_s");
  const texts = { title: given.get("title"), body: given.get("body") };
  try {
    await send({ ...texts, to, in_s, urgent: given.has("urgent"), email: given.has("email") });
    const names = to.map((user) => people.get(user).name).join(" and ");
    set(at("said"), `Accepted for ${names}${in_s ? `, due in ${in_s} seconds` : ""}.`);
  } catch (error) {
    set(at("said"), `Not accepted: ${error.message}`);
  }
});

let loadTimer, loadNumber = 0;
const loadOnce = () => {
  loadNumber += 1;
  const what = { title: `Move ${loadNumber}`, body: "Sent without a pause", to: [...people.keys()], steady: true };
  send(what).catch((error) => set(at("said"), `Not accepted: ${error.message}`));
};
at("load").addEventListener("change", ({ target }) => {
  clearInterval(loadTimer);
  if (target.checked) loadTimer = setInterval(loadOnce, LOAD_MS);
});

// --- the processes ---------------------------------------------------------------------------

const makeProcess = (name) => {
  const [title, job] = LABELS[name] ?? [name, ""];
  const line = make("li", "process"), text = make("div", "text"), state = make("span", "state");
  const button = make("button", "kill", "Kill");
  button.type = "button";
  button.setAttribute("aria-label", `Kill ${title}`);
  button.dataset.process = name;
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-disabled") === "true") return;
    button.setAttribute("aria-disabled", "true");
    try {
      await post("/kill", { process: name });
      set(at("broken"), `${title} was killed.`);
    } catch (error) {
      set(at("broken"), `${title} was not killed: ${error.message}`);
    }
  });
  text.append(make("strong", "", title), make("span", "job", job), state);
  line.append(make("i", "lamp"), text, button);
  at("processes").append(line);
  return { line, state, button, title, starts: 0, ready: false };
};

const showProcess = ({ name, pid, ready, starts }) => {
  if (!processes.has(name)) processes.set(name, makeProcess(name));
  const shown = processes.get(name);
  const again = starts > 1 ? ` · started ${starts} times` : "";
  set(shown.state, ready ? `pid ${pid}${again}` : "starting again …");
  shown.line.classList.toggle("ready", ready);
  shown.line.dataset.starts = starts;
  shown.button.setAttribute("aria-disabled", `${!ready}`);
  if (ready && shown.starts && (!shown.ready || starts > shown.starts)) {
    set(at("broken"), `${shown.title} works again.`);
    people.forEach((person) => person.gateway === name && tell(person, "retry"));
  }
  Object.assign(shown, { ready, starts });
};

// A bell whose gateway works again connects at once, instead of after its pause.
setInterval(() => {
  for (const person of people.values()) {
    if (person.state !== "live" && processes.get(person.gateway)?.ready) tell(person, "retry");
  }
}, 1000);

// --- what moves ------------------------------------------------------------------------------

const scenes = new EventSource("/events");
scenes.onmessage = ({ data }) => {
  const scene = JSON.parse(data);
  scene.processes.forEach(showProcess);
  board.show(scene.routes);
  showMails(scene.mails);
  at("none").hidden = scene.routes.length > 0;
  at("more").hidden = !scene.more;
  set(at("more"), `and ${scene.more} more on their way`);
  document.body.classList.remove("over");
  set(at("ended"), "");
};
scenes.onerror = () => {
  document.body.classList.add("over");
  set(at("ended"), "The stage has ended: start it again in the terminal, and load this page again.");
};
