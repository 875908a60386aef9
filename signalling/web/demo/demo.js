// The demo: sends camera and microphone by WHIP, plays everyone else by WHEP, shows who is here.
import { TEXTS } from "./texts.js";
import { Connection, Refused, request } from "./whip.js";

const POLL_MS = 1500;
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

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

  /** Publishes, again and again until it works or is refused. */
  async send(attempt = 0) {
    const { room, token } = this.place;
    this.sending = await Connection.publish(room, token, this.media, (state) => this.onSending(state));
    this.attempt = attempt;
  }

  onSending(state) {
    if (!this.running) return;
    if (state === "connected") {
      this.attempt = 0;
      this.welcome();
    }
    if (state === "interrupted") say(words.reconnecting);
    if (state === "lost") this.resend(this.attempt ?? 0);
  }

  /** Says how one takes part. */
  welcome() {
    const alone = !this.people.some((person) => person.participant !== this.place.participant);
    const lacks = (kind) => !this.media.getTracks().some((track) => track.kind === kind);
    const lacking = lacks("video") ? words.microphoneOnly : lacks("audio") ? words.cameraOnly : "";
    say(`${alone ? words.alone : words.connected} ${lacking}`.trim());
  }

  resend(attempt) {
    say(words.reconnecting);
    setTimeout(async () => {
      if (!this.running) return;
      await this.sending.close();
      await this.send(attempt + 1).catch((error) => this.onFault(error, () => this.resend(attempt + 1)));
    }, RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)]);
  }

  onFault(error, again) {
    if (!this.running) return;
    const passing = ["unreachable", "closing", "engine_unavailable", "internal", "other"];
    if (!(error instanceof Refused) || passing.includes(error.code)) again();
    else this.leave(error.code);
  }

  async poll() {
    while (this.running) {
      try {
        const response = await request("people", { token: this.place.token });
        if (this.running) await this.follow(await response.json());
      } catch (error) {
        if (["token_expired", "room_unknown"].includes(error.code)) this.leave("token_expired");
      }
      await new Promise((wake) => setTimeout(wake, POLL_MS));
    }
  }

  async follow(people) {
    const others = people.filter((person) => person.participant !== this.place.participant);
    this.tell(others);
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
    const key = new URLSearchParams(location.hash.slice(1)).get("k") ?? "";
    const headers = { "Content-Type": "application/json" };
    const response = await request("join", { method: "POST", headers, body: JSON.stringify({ key, called }) });
    meeting = new Meeting(await response.json(), called, media);
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
