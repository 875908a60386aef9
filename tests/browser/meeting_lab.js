// What the tests do with livekit-client in a browser: one participant per page, who is told what to do and asked what comes.
const { ConnectionErrorReason, ExternalE2EEKeyProvider, Room, RoomEvent, setLogLevel } = window.LivekitClient;

const NOTED = [
  RoomEvent.SignalReconnecting, RoomEvent.Reconnecting, RoomEvent.Reconnected, RoomEvent.Disconnected,
  RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected,
  RoomEvent.TrackSubscribed, RoomEvent.TrackUnsubscribed, RoomEvent.TrackPublished, RoomEvent.TrackUnpublished,
  RoomEvent.TrackMuted, RoomEvent.TrackUnmuted,
];

const [peers, asked, told, received, sources, shown] = [[], [], [], [], new Map(), new Map()];
let room;

// The library makes its connections from these names; nothing else in it is touched.
window.RTCPeerConnection = class extends window.RTCPeerConnection {
  constructor(...settings) {
    super(...settings);
    peers.push(this);
  }
};
window.WebSocket = class extends window.WebSocket {
  constructor(url, ...more) {
    asked.push(`socket ${new URL(url).pathname}`);
    super(url, ...more);
  }
};
const { fetch } = window;
window.fetch = (url, ...more) => {
  asked.push(`fetch ${new URL(url, location.href).pathname}`);
  return fetch(url, ...more);
};

setLogLevel("error");

/** What an event is about, in a word each: whose, which, or why. */
function words(given) {
  return given.map((each) => each?.identity ?? each?.source ?? (typeof each === "object" ? null : each));
}

function listen() {
  for (const event of NOTED) room.on(event, (...given) => told.push([event, ...words(given)]));
  room.on(RoomEvent.TrackSubscribed, (track, publication, participant) => {
    const element = track.attach();
    element.id = `${participant.identity}/${publication.source}`;
    document.body.append(element);
    const count = () => {
      shown.set(publication.trackSid, (shown.get(publication.trackSid) ?? 0) + 1);
      element.requestVideoFrameCallback(count);
    };
    element.requestVideoFrameCallback?.(count);
  });
  room.on(RoomEvent.TrackUnsubscribed, (track) => track.detach().forEach((element) => element.remove()));
  room.on(RoomEvent.DataReceived, (bytes, participant, kind, topic) => {
    received.push([participant?.identity ?? null, topic ?? "", kind === 0 ? "reliable" : "lossy", new TextDecoder().decode(bytes)]);
  });
}

/** A picture in which something moves, so that frames are made. */
function canvas(width, height, rate) {
  const element = Object.assign(document.createElement("canvas"), { width, height });
  const brush = element.getContext("2d");
  const timer = setInterval(() => {
    brush.fillStyle = "#456";
    brush.fillRect(0, 0, width, height);
    brush.fillStyle = "#eee";
    brush.fillRect(Math.floor(performance.now() / 10) % width, 0, width / 8, height);
  }, 1000 / rate);
  const [track] = element.captureStream(rate).getVideoTracks();
  return { track, end: () => { clearInterval(timer); track.stop(); } };
}

/** A tone. Firefox starts no AudioContext on a machine without a sound card: there it is that of its own microphone. */
async function tone(frequency) {
  if (navigator.userAgent.includes("Firefox")) {
    const [track] = (await navigator.mediaDevices.getUserMedia({ audio: true })).getAudioTracks();
    return { track, end: () => track.stop() };
  }
  const context = new AudioContext();
  await context.resume();
  const out = context.createMediaStreamDestination();
  const oscillator = new OscillatorNode(context, { frequency });
  oscillator.connect(out);
  oscillator.start();
  const [track] = out.stream.getAudioTracks();
  return { track, end: () => { track.stop(); context.close(); } };
}

/** Has the library encrypt all that it sends, and take what it receives for that. */
async function encrypted(passphrase) {
  const keyProvider = new ExternalE2EEKeyProvider();
  await keyProvider.setKey(passphrase);
  return { keyProvider, worker: new Worker("livekit-client.e2ee.worker.js") };
}

function remote(identity, source) {
  const publication = room.remoteParticipants.get(identity)?.getTrackPublication(source);
  if (!publication) throw new Error(`${identity} sends no ${source}`);
  return publication;
}

async function reports(track, type) {
  const report = await track?.getRTCStatsReport?.();
  return report ? [...report.values()].filter((each) => each.type === type) : [];
}

window.meeting = {
  /** Comes in; returns null, or why not. */
  async join(url, token, { passphrase, ...options } = {}) {
    room = new Room(passphrase ? { ...options, encryption: await encrypted(passphrase) } : options);
    listen();
    try {
      if (passphrase) await room.setE2EEEnabled(true);
      await room.connect(url, token);
    } catch (error) {
      return { name: error.name, reason: ConnectionErrorReason[error.reason] ?? null, status: error.status ?? null };
    }
    return null;
  },

  leave: () => room?.disconnect(),

  /** Sends the browser's own camera or microphone as the library asks for it, or no more: that is muted then. */
  async camera(on, { width = 640, height = 360, frameRate = 15 } = {}, options = {}) {
    await room.localParticipant.setCameraEnabled(on, { resolution: { width, height, frameRate } }, options);
  },
  async microphone(on) {
    await room.localParticipant.setMicrophoneEnabled(on);
  },

  /** Shares a screen with its sound as the library asks for it, or no more; returns what the browser says is shared. */
  async screen(on) {
    await room.localParticipant.setScreenShareEnabled(on, { audio: true }, { simulcast: false });
    return room.localParticipant.getTrackPublication("screen_share")?.track.mediaStreamTrack.getSettings().displaySurface ?? null;
  },

  /** Sends a made picture or sound under the name of a source. */
  async publish(source, { width = 640, height = 360, rate = 10, frequency = 440, ...options } = {}) {
    const made = source.endsWith("audio") || source === "microphone" ? await tone(frequency) : canvas(width, height, rate);
    sources.set(source, made);
    await room.localParticipant.publishTrack(made.track, { source, ...options });
  },
  async unpublish(source) {
    await room.localParticipant.unpublishTrack(room.localParticipant.getTrackPublication(source).track);
    sources.get(source)?.end();
    sources.delete(source);
  },

  /** Sends one thing after the other, as often as it is said. */
  async series(times) {
    for (let time = 0; time < times; time += 1) {
      const source = time % 2 ? "screen_share_audio" : "screen_share";
      await this.publish(source, { width: 160, height: 90, simulcast: false });
      await this.unpublish(source);
    }
  },
  /** How long the longest description of any connection is. */
  longest: () => Math.max(...peers.flatMap((peer) => [peer.localDescription, peer.remoteDescription]).map((each) => each?.sdp.length ?? 0)),

  async say(text, { reliable = true, topic = "", to = [] } = {}) {
    await room.localParticipant.publishData(new TextEncoder().encode(text), { reliable, topic, destinationIdentities: to });
  },
  received: () => received,

  /** Takes long texts, and calls, from others. */
  answer(topic, method) {
    room.registerTextStreamHandler(topic, async (reader, { identity }) => received.push([identity, topic, "text", await reader.readAll()]));
    room.registerRpcMethod(method, async ({ callerIdentity, payload }) => `${callerIdentity} said ${payload}`);
  },
  async write(topic, text) {
    await room.localParticipant.sendText(text, { topic });
  },
  ask: (identity, method, payload) => room.localParticipant.performRpc({ destinationIdentity: identity, method, payload }),

  want: (identity, source, quality) => remote(identity, source).setVideoQuality(quality),
  subscribe: (identity, source, wanted) => remote(identity, source).setSubscribed(wanted),
  /** Gives a tile another size; none hides it. */
  tile(identity, source, width, height) {
    const { style } = document.getElementById(`${identity}/${source}`);
    style.display = width ? "" : "none";
    style.width = `${width}px`;
    style.height = `${height}px`;
  },

  /** The colour in the middle of a picture that is shown. */
  colour(identity, source) {
    const video = document.getElementById(`${identity}/${source}`);
    const brush = new OffscreenCanvas(1, 1).getContext("2d");
    brush.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 1, 1, 0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  },

  others: () => [...room.remoteParticipants.keys()],
  state: () => room.state,
  told: () => told,
  asked: () => asked,
  simulate: (scenario) => room.simulateScenario(scenario),

  /** What has come of each track of the others, by the browser's own count. */
  async figures() {
    const found = {};
    for (const participant of room.remoteParticipants.values()) {
      for (const publication of participant.trackPublications.values()) {
        const inbound = await reports(publication.track, "inbound-rtp");
        const [codec] = await reports(publication.track, "codec");
        const sum = (name) => inbound.reduce((total, each) => total + (each[name] ?? 0), 0);
        // Of what comes by WHIP it is not known what it shows.
        const called = publication.source === "unknown" ? publication.kind : publication.source;
        found[`${participant.identity}/${called}`] = {
          sid: publication.trackSid,
          muted: publication.isMuted,
          subscribed: publication.isSubscribed,
          encrypted: publication.isEncrypted,
          codec: codec?.mimeType ?? "",
          frames: sum("framesDecoded"),
          shown: shown.get(publication.trackSid) ?? 0, // what is decoded is not always shown
          energy: sum("totalAudioEnergy"),
          bytes: sum("bytesReceived"),
          width: inbound.at(-1)?.frameWidth ?? 0,
        };
      }
    }
    return found;
  },

  /** What has been made of each encoding of a track of ours, the smallest first. */
  async sent(source) {
    const outbound = await reports(room.localParticipant.getTrackPublication(source)?.track, "outbound-rtp");
    return outbound.map(({ rid, framesEncoded, bytesSent }) => ({ rid: rid ?? "", frames: framesEncoded, bytes: bytesSent }))
      .sort((one, other) => "qhf".indexOf(one.rid) - "qhf".indexOf(other.rid));
  },
};
