// One connection by WHIP (RFC 9725) or WHEP: a POST opens it, a DELETE ends it.

const CLOSE_MS = 5000; // A server that has not answered by then is out of reach.

export class Refused extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
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
    throw new Refused(problem.code ?? "other");
  }
  return response;
}

export class Connection {
  /** `onState` is told "connected", "interrupted" or "lost". */
  constructor(token, onState) {
    this.token = token;
    this.peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.peer.addEventListener("connectionstatechange", () => {
      const states = { connected: "connected", disconnected: "interrupted", failed: "lost" };
      const state = states[this.peer.connectionState];
      if (state) onState(state);
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
      await this.peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Ends the connection on both sides. Safe to call again. */
  async close({ keepalive = false } = {}) {
    const resource = this.resource;
    this.resource = null;
    // The server ends a connection whose peer has closed, so the peer closes last.
    const signal = AbortSignal.timeout(CLOSE_MS);
    if (resource) await request(resource, { method: "DELETE", token: this.token, keepalive, signal }).catch(() => {});
    this.peer.close();
  }

  /** Ends what the server has ended already. */
  forget() {
    this.resource = null;
    this.peer.close();
  }
}

// Three sizes of the picture, smallest first, so that each receiver gets what its network carries.
const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
];
