// The demo: sends camera and microphone by WHIP, plays everyone else by WHEP, shows who is here.
import { TEXTS } from "./texts.js";
import { Connection, Refused, pause, request } from "./whip.js";

const POLL_MS = 1500;
const HURRY_MS = { poll: 300, for: 5000 }; // while all come back after an interruption
// After these the same place may be had in a moment; after those the server knows neither the room nor whoever is in it.
const PASSING = [
  "unreachable", "closing", "engine_unavailable", "engine_late", "engine_full", "room_failed", "room_quarantined",
  "internal", "other",
];
const FORGOTTEN = ["room_unknown", "token_invalid"];
const ENDED = { removed: "participant_removed", room_deleted: "meeting_ended", stopping: "stopping" };

const $ = (id) => document.getElementById(id);
const supported = (navigator.languages ?? []).map((tag) => tag.slice(0, 2)).find((tag) => tag in TEXTS);
let words = TEXTS[supported ?? "en"];
let meeting = null;

function translate(language) {
  words = TEXTS[language];
  document.documentElement.lang = language;
  document.title = words.title;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = words[element.dataset.text];
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", words[element.dataset.label]);
  meeting?.render();
}

const say = (text) => { $("status").textContent = text; };
const complain = (code) => { $("fault").textContent = code ? words.faults[code] ?? words.faults.other : ""; };

/** Asks for both camera and microphone, and takes what there is. */
async function capture() {
  if (!navigator.mediaDevices) throw new Refused("insecure");
  const video = { width: { ideal: 1280 }, height: { ideal: 720 } };
  const audio = { echoCancellation: true, noiseSuppression: true };
  for (const wish of [{ audio, video }, { audio }, { video }]) {
    try {
      return await navigator.mediaDevices.getUserMedia(wish);
    } catch (error) {
      if (error.name === "NotAllowedError") throw new Refused("denied");
      if (error.name === "NotReadableError" && !wish.video !== !wish.audio) throw new Refused("busy");
    }
  }
  throw new Refused("missing");
}

class Meeting {
  constructor(place, called, media) {
    this.place = place;
    this.called = called;
    this.media = media;
    this.people = [];
    this.played = new Map(); // publication → { connection, video, tile }
    this.running = true;
  }

  async start() {
    fill(addTile("own", words.you, { own: true }), this.media);
    await this.send();
    this.poll();
  }

  /** Publishes, and listens for the end of that: what ends a whole room ends it, too. */
  async send() {
    const { room, token } = this.place;
    const sending = await Connection.publish(room, token, this.media, (state, which) => this.onSending(state, which));
    if (!this.running) return await sending.close();
    this.sending = sending;
    sending.listen((event, data) => this.onEnd(event, data));
  }

  onSending(state, connection) {
    if (!this.running || (this.sending && connection !== this.sending)) return;
    if (state === "connected") this.welcome();
    if (state === "interrupted") say(words.reconnecting);
    if (state === "lost") this.reconnect();
  }

  onEnd(event, data) {
    if (!this.running) return;
    this.sending.forget(); // the server has ended it
    if (event === "reconnect") this.reconnect(data.after_s);
    else if (data.reason !== "left") this.leave(ENDED[data.reason] ?? "other");
  }

  /** Says how one takes part. */
  welcome() {
    const alone = !this.people.some((person) => person.participant !== this.place.participant);
    const lacks = (kind) => !this.media.getTracks().some((track) => track.kind === kind);
    const lacking = lacks("video") ? words.microphoneOnly : lacks("audio") ? words.cameraOnly : "";
    say(`${alone ? words.alone : words.connected} ${lacking}`.trim());
  }

  /** Publishes anew, again and again with longer pauses, until it works or is refused for good. */
  async reconnect(afterS = 0) {
    if (this.reconnecting) return;
    this.reconnecting = true;
    say(afterS ? words.resting : words.reconnecting);
    this.sending.close();
    for (let attempt = 0; this.running; attempt += 1) {
      await pause(attempt, afterS);
      if (!this.running) break;
      try {
        await this.send();
        this.hurryUntil = Date.now() + HURRY_MS.for;
        this.wake?.();
        break;
      } catch (error) {
        const code = error instanceof Refused ? error.code : "other";
        if (FORGOTTEN.includes(code)) await this.comeInAgain();
        else if (!PASSING.includes(code)) this.leave(code);
        if (code === "room_quarantined" && this.running) say(words.resting);
        afterS = code === "room_quarantined" ? error.afterS : 0; // for all else, the pauses are short enough
      }
    }
    this.reconnecting = false;
  }

  /** Asks for another place with the link: the server was started anew and has forgotten this one. */
  async comeInAgain() {
    try {
      const place = await join(this.called);
      for (const publication of [...this.played.keys()]) this.stop(publication, { ended: true });
      this.place = place;
    } catch (error) {
      if (this.running && !PASSING.includes(error.code)) this.leave(error.code);
    }
  }

  async poll() {
    while (this.running) {
      try {
        const response = await request("people", { token: this.place.token });
        if (this.running) await this.follow(await response.json());
      } catch (error) {
        if (error.code === "token_expired") this.leave(error.code);
        else if (this.running && FORGOTTEN.includes(error.code)) this.reconnect();
      }
      const pauseMs = Date.now() < (this.hurryUntil ?? 0) ? HURRY_MS.poll : POLL_MS;
      await new Promise((wake) => { this.wake = wake; setTimeout(wake, pauseMs); });
    }
  }

  async follow(people) {
    const others = people.filter((person) => person.participant !== this.place.participant);
    // Whoever is missing while all come back has not left, and what is said of the interruption stays.
    if (!this.reconnecting && Date.now() >= (this.hurryUntil ?? 0)) this.tell(others);
    this.people = people;
    const wanted = new Map(others.flatMap((p) => p.publications.map((publication) => [publication, p])));
    for (const publication of [...this.played.keys()]) if (!wanted.has(publication)) this.stop(publication, { ended: true });
    for (const [publication, person] of wanted) if (!this.played.has(publication)) await this.play(publication, person);
    this.render();
  }

  tell(others) {
    const before = new Map(this.people.map((person) => [person.participant, person]));
    const after = new Set(others.map((person) => person.participant));
    for (const person of others) if (!before.has(person.participant)) say(words.arrived(person.called));
    for (const person of before.values()) {
      if (person.participant !== this.place.participant && !after.has(person.participant)) say(words.departed(person.called));
    }
  }

  async play(publication, person) {
    const media = new MediaStream();
    const tile = addTile(publication, person.called);
    const entry = { tile, connection: null };
    this.played.set(publication, entry);
    const onState = (state) => { if (state === "lost") this.stop(publication); };
    const onTrack = (track) => media.addTrack(track);
    try {
      const connection = await Connection.play(this.place.room, publication, this.place.token, onTrack, onState);
      if (this.played.get(publication) !== entry) return await connection.close();
      entry.connection = connection;
      fill(tile, media);
    } catch {
      this.stop(publication); // the next poll tries again if it is still there
    }
  }

  /** Plays it no more; `ended` when it is gone, for then the server has ended the connection. */
  stop(publication, { ended = false } = {}) {
    const entry = this.played.get(publication);
    this.played.delete(publication);
    entry?.tile.remove();
    if (ended) entry?.connection?.forget();
    else entry?.connection?.close();
  }

  toggle(kind, button) {
    const tracks = this.media.getTracks().filter((track) => track.kind === kind);
    const off = tracks.some((track) => track.enabled);
    for (const track of tracks) track.enabled = !off;
    button.classList.toggle("off", off);
    this.render();
  }

  render() {
    const off = (kind) => !this.media.getTracks().some((track) => track.kind === kind && track.enabled);
    $("microphone").textContent = off("audio") ? words.unmute : words.mute;
    $("camera").textContent = off("video") ? words.show : words.hide;
    const lines = this.people.map((person) => {
      const line = document.createElement("li");
      const notes = [];
      if (person.participant === this.place.participant) notes.push(words.you);
      if (person.publications.length === 0) notes.push(words.listening);
      line.textContent = person.called + (notes.length ? ` (${notes.join(", ")})` : "");
      return line;
    });
    $("people").replaceChildren(...lines);
  }

  async leave(code = null, { keepalive = false } = {}) {
    if (!this.running) return;
    this.running = false;
    const endings = [...this.played.values()].map((entry) => entry.connection?.close({ keepalive }));
    endings.push(this.sending?.close({ keepalive }));
    endings.push(request("leave", { method: "POST", token: this.place.token, keepalive }).catch(() => {}));
    for (const track of this.media.getTracks()) track.stop();
    $("tiles").replaceChildren();
    $("people").replaceChildren();
    show("entrance");
    say(words.left);
    complain(code);
    meeting = null;
    await Promise.all(endings);
  }
}

function addTile(id, called, { own = false } = {}) {
  const tile = document.createElement("li");
  tile.className = own ? "tile own" : "tile";
  tile.dataset.publication = id;
  const video = document.createElement("video");
  Object.assign(video, { autoplay: true, playsInline: true, muted: own });
  video.setAttribute("aria-label", words.video(called));
  const label = document.createElement("span");
  label.className = "label";
  label.textContent = called;
  tile.append(video, label);
  $("tiles").append(tile);
  return tile;
}

/** Plays in a tile, once all tracks are there: Chromium keeps silent when the first one comes later and is sound. */
function fill(tile, media) {
  const video = tile.querySelector("video");
  video.srcObject = media;
  video.play().catch((error) => { if (error.name === "NotAllowedError") $("sound").hidden = false; });
}

function show(part) {
  $("entrance").hidden = part !== "entrance";
  $("meeting").hidden = part !== "meeting";
  if (part === "meeting") $("meeting-title").focus();
  else $("called").focus();
}

/** Asks for a place with the key of the link. */
async function join(called) {
  const key = new URLSearchParams(location.hash.slice(1)).get("k") ?? "";
  const headers = { "Content-Type": "application/json" };
  const response = await request("join", { method: "POST", headers, body: JSON.stringify({ key, called }) });
  return response.json();
}

async function enter(event) {
  event.preventDefault();
  const button = event.submitter ?? event.target.querySelector("button");
  button.disabled = true;
  complain(null);
  const called = $("called").value.trim();
  let media = null;
  try {
    say(words.asking);
    media = await capture();
    say(words.connecting);
    meeting = new Meeting(await join(called), called, media);
    show("meeting");
    await meeting.start();
    meeting.render();
  } catch (error) {
    const code = error instanceof Refused ? error.code : "other";
    if (meeting) await meeting.leave(code);
    for (const track of media?.getTracks() ?? []) track.stop();
    say("");
    complain(code);
  } finally {
    button.disabled = false;
  }
}

$("language").value = supported ?? "en";
$("language").addEventListener("change", (event) => translate(event.target.value));
$("entrance").addEventListener("submit", enter);
$("microphone").addEventListener("click", (event) => meeting?.toggle("audio", event.currentTarget));
$("camera").addEventListener("click", (event) => meeting?.toggle("video", event.currentTarget));
$("leave").addEventListener("click", () => meeting?.leave());
$("sound").addEventListener("click", (event) => {
  for (const video of document.querySelectorAll("#tiles video")) video.play().catch(() => {});
  event.currentTarget.hidden = true;
});
addEventListener("pagehide", () => meeting?.leave(null, { keepalive: true }));
translate(supported ?? "en");
