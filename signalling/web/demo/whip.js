// One connection by WHIP (RFC 9725) or WHEP: a POST opens it, a DELETE ends it, and the server tells when it has ended.

const CLOSE_MS = 5000; // A server that has not answered by then is out of reach.

const EVENTS = /<([^>]*)>;\s*rel="urn:ietf:params:wh[ei]p:ext:core:server-sent-events"/;
const UNTOLD = ["unreachable", "other", "internal", "too_many_streams"]; // says nothing of the connection
const PAUSES_MS = [0, 300, 1200, 2700, 4800, 7000]; // A server that is back within 1.4 s is found by the third try.

export class Refused extends Error {
  /** `afterS` is when the server wants to be asked again, if it said so. */
  constructor(code, afterS = 0) {
    super(code);
    this.code = code;
    this.afterS = afterS;
  }
}

/** Waits before a try: longer from one to the next, and not as long as all the others who try. */
export async function pause(attempt, afterS = 0) {
  const pauseMs = Math.max(PAUSES_MS[Math.min(attempt, PAUSES_MS.length - 1)], afterS * 1000);
  await new Promise((wake) => setTimeout(wake, pauseMs + Math.random() * Math.max(250, pauseMs / 4)));
}

/** Sends a request with the token; throws Refused with the problem's code. */
export async function request(path, { token, ...options } = {}) {
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch {
    throw new Refused("unreachable");
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({}));
    throw new Refused(problem.code ?? "other", Number(response.headers.get("Retry-After")) || 0);
  }
  return response;
}

/** Yields server-sent events: `{ event, data }`. */
async function* eventsOf(body) {
  let text = "";
  for (const reader = body.pipeThrough(new TextDecoderStream()).getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/, 2)));
      if (fields.event) yield { event: fields.event, data: JSON.parse(fields.data ?? "{}") };
    }
  }
}

export class Connection {
  /** `onState` is told "connected", "interrupted" or "lost", and of which connection. */
  constructor(token, onState) {
    this.token = token;
    this.listening = new AbortController();
    this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.peer.addEventListener("connectionstatechange", () => {
      const states = { connected: "connected", disconnected: "interrupted", failed: "lost" };
      const state = states[this.peer.connectionState];
      if (state) onState(state, this);
    });
  }

  static async publish(room, token, media, onState) {
    const connection = new Connection(token, onState);
    for (const track of media.getTracks()) {
      const camera = { direction: "sendonly", streams: [media], sendEncodings: LAYERS };
      const microphone = { direction: "sendonly", streams: [media] };
      connection.peer.addTransceiver(track, track.kind === "video" ? camera : microphone);
    }
    await connection.open(`/whip/${room}`);
    return connection;
  }

  static async play(room, publication, token, onTrack, onState) {
    const connection = new Connection(token, onState);
    connection.peer.addEventListener("track", (event) => onTrack(event.track));
    connection.peer.addTransceiver("audio", { direction: "recvonly" });
    connection.peer.addTransceiver("video", { direction: "recvonly" });
    await connection.open(`/whep/${room}/${publication}`);
    return connection;
  }

  async open(path) {
    try {
      await this.peer.setLocalDescription();
      const headers = { "Content-Type": "application/sdp" };
      const body = this.peer.localDescription.sdp;
      const response = await request(path, { method: "POST", headers, body, token: this.token });
      this.resource = response.headers.get("Location");
      this.events = response.headers.get("Link")?.match(EVENTS)?.[1];
      await this.peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /**
   * Waits to hear from the server that the connection has ended: "reconnect", when another one is welcome, or "ended",
   * with the reason. Nothing is heard of a server that is gone or was started anew: it is asked until it answers.
   */
  async listen(onEnd) {
    for (let attempt = 0; this.resource && this.events; attempt += 1) {
      try {
        const response = await request(this.events, { token: this.token, signal: this.listening.signal });
        attempt = 0;
        for await (const { event, data } of eventsOf(response.body)) {
          if (event === "reconnect" || event === "ended") return this.resource && onEnd(event, data);
        }
      } catch (error) {
        if (!this.resource) return;
        const tellsNothing = !(error instanceof Refused) || UNTOLD.includes(error.code);
        if (!tellsNothing) return onEnd("reconnect", { reason: error.code });
      }
      await pause(attempt + 1);
    }
  }

  /** Ends the connection on both sides. Safe to call again. */
  async close({ keepalive = false } = {}) {
    const resource = this.resource;
    this.resource = null;
    this.listening.abort();
    // The server ends a connection whose peer has closed, so the peer closes last.
    const signal = AbortSignal.timeout(CLOSE_MS);
    if (resource) await request(resource, { method: "DELETE", token: this.token, keepalive, signal }).catch(() => {});
    this.peer.close();
  }

  /** Ends what the server has ended already. */
  forget() {
    this.resource = null;
    this.listening.abort();
    this.peer.close();
  }
}

// Three sizes of the picture, smallest first, so that each receiver gets what its network carries.
const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
];
