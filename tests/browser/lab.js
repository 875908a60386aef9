// What the tests do in a browser: publish by WHIP, play by WHEP, look at what comes. Connections go by a name.
const connections = new Map();

const LAYERS = [
  { rid: "q", scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: "h", scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: "f", scaleResolutionDownBy: 1, maxBitrate: 1_500_000 },
];

async function ask(url, method, token, headers = {}, body = undefined) {
  const response = await fetch(url, { method, body, headers: { ...headers, Authorization: `Bearer ${token}` } });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response;
}

async function open(name, peer, url, token) {
  await peer.setLocalDescription();
  const response = await ask(url, "POST", token, { "Content-Type": "application/sdp" }, peer.localDescription.sdp);
  const resource = new URL(response.headers.get("Location"), url).href;
  connections.set(name, { peer, resource, token });
  await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
  const link = response.headers.get("Link")?.match(/<([^>]*)>/)?.[1];
  return link ? new URL(link, url).href : null;
}

/** Offers nothing but this codec, and what repairs it. */
function prefer(transceiver, kind, codec) {
  const all = RTCRtpReceiver.getCapabilities(kind).codecs;
  const wanted = all.filter((c) => c.mimeType.toLowerCase() === codec.toLowerCase() && !/profile-id=[12]/.test(c.sdpFmtpLine ?? ""));
  if (wanted.length === 0) throw new Error(`no ${codec} here`);
  transceiver.setCodecPreferences([...wanted, ...all.filter((c) => c.mimeType === `${kind}/rtx`)]);
}

/** Plays tracks on the page. */
function show(name, tracks) {
  const video = Object.assign(document.createElement("video"), { autoplay: true, playsInline: true });
  video.srcObject = new MediaStream(tracks);
  video.id = name;
  document.body.append(video);
  return video;
}

/** A picture and a sound made from one clock: each second a white flash and a beep of 150 ms. */
async function flashesAndBeeps() {
  const context = new AudioContext();
  await context.resume();
  const [gain, out] = [context.createGain(), context.createMediaStreamDestination()];
  const tone = new OscillatorNode(context, { frequency: 1000 });
  tone.connect(gain).connect(out);
  gain.gain.value = 0;
  tone.start();
  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 180 });
  const brush = canvas.getContext("2d");
  const start = Math.ceil(context.currentTime) + 1;
  for (let second = 0; second < 300; second += 1) {
    gain.gain.setValueAtTime(0.8, start + second);
    gain.gain.setValueAtTime(0, start + second + 0.15);
  }
  setInterval(() => {
    const phase = (context.currentTime - start) % 1;
    brush.fillStyle = context.currentTime > start && phase < 0.15 ? "#fff" : "#000";
    brush.fillRect(0, 0, 320, 180);
    brush.fillStyle = "#888";
    brush.fillRect(Math.floor(performance.now() / 10) % 300, 170, 20, 10); // something moves, so that frames are made
  }, 5);
  return new MediaStream([...canvas.captureStream(30).getTracks(), ...out.stream.getTracks()]);
}

const NOTICE = `registerProcessor("notice", class extends AudioWorkletProcessor {
  process([input]) {
    for (let at = 0; at < (input[0]?.length ?? 0); at += 1) {
      if (Math.abs(input[0][at]) < 0.05) continue;
      const time = currentTime + at / sampleRate;
      if (!(time - this.last < 0.3)) this.port.postMessage(time);
      this.last = time;
    }
    return true;
  }
})`;

window.lab = {
  /** Sends camera and microphone; returns where they can be played. */
  async publish(name, url, token, { width = 640, height = 360, rate = 15, codec = null, layers = false, source = "camera" } = {}) {
    const video = { width: { exact: width }, height: { exact: height }, frameRate: rate };
    const media = source === "camera" ? await navigator.mediaDevices.getUserMedia({ audio: true, video }) : await flashesAndBeeps();
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    for (const track of media.getTracks()) {
      const sendEncodings = track.kind === "video" && layers ? LAYERS : [{}];
      const transceiver = peer.addTransceiver(track, { direction: "sendonly", streams: [media], sendEncodings });
      if (codec?.startsWith(track.kind)) prefer(transceiver, track.kind, codec);
    }
    return open(name, peer, url, token);
  },

  /** Plays what is published there. */
  async play(name, url, token) {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    const video = show(name, []);
    peer.addEventListener("track", ({ track }) => video.srcObject.addTrack(track));
    for (const kind of ["audio", "video"]) peer.addTransceiver(kind, { direction: "recvonly" });
    await open(name, peer, url, token);
  },

  /** Answers an offer: sends camera and microphone in the sections that are there for it, and plays what the others bring. */
  async answer(name, offer) {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    connections.set(name, { peer });
    await peer.setRemoteDescription({ type: "offer", sdp: offer });
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360, frameRate: 15 } });
    const wanted = offer.split("m=").filter((section) => section.includes("a=recvonly")).map((section) => section.match(/a=mid:(\S+)/)[1]);
    for (const transceiver of peer.getTransceivers().filter(({ mid }) => wanted.includes(mid))) {
      await transceiver.sender.replaceTrack(media.getTracks().find(({ kind }) => kind === transceiver.receiver.track.kind));
      transceiver.direction = "sendonly";
    }
    show(name, peer.getTransceivers().filter(({ mid }) => !wanted.includes(mid)).map(({ receiver }) => receiver.track));
    await peer.setLocalDescription();
    return peer.localDescription.sdp;
  },

  /** Answers a later offer; returns that, and for which sections the browser told of a track. */
  async again(name, offer) {
    const { peer } = connections.get(name);
    const told = [];
    const note = ({ transceiver }) => told.push(transceiver.mid);
    peer.addEventListener("track", note);
    await peer.setRemoteDescription({ type: "offer", sdp: offer });
    await peer.setLocalDescription();
    peer.removeEventListener("track", note);
    return [peer.localDescription.sdp, told];
  },

  /** Offers data channels only, over which more is offered later. */
  async offering(name) {
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    connections.set(name, { peer });
    peer.createDataChannel("chat");
    await peer.setLocalDescription();
    return peer.localDescription.sdp;
  },

  /** Offers to send one more camera or microphone, and no more what it has sent before. */
  async sendInstead(name, kind) {
    const connection = connections.get(name);
    if (connection.sending) {
      await connection.sending.sender.replaceTrack(null);
      connection.sending.direction = "inactive";
    }
    connection.media ??= await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 640, height: 360, frameRate: 15 } });
    const track = connection.media.getTracks().find((each) => each.kind === kind);
    connection.sending = connection.peer.addTransceiver(track, { direction: "sendonly", streams: [connection.media] });
    await connection.peer.setLocalDescription();
    return connection.peer.localDescription.sdp;
  },

  async answered(name, answer) {
    await connections.get(name).peer.setRemoteDescription({ type: "answer", sdp: answer });
  },

  /** What the browser counts, in short. */
  async figures(name) {
    const { peer } = connections.get(name);
    const reports = [...(await peer.getStats()).values()];
    const found = { state: peer.connectionState, ice: peer.iceConnectionState, pair: false, sent: [] };
    for (const report of reports) {
      if (report.type === "candidate-pair" && report.nominated && report.state === "succeeded") found.pair = true;
      if (report.type === "transport") found.secured = { version: report.tlsVersion, cipher: report.dtlsCipher, srtp: report.srtpCipher };
      if (report.type === "outbound-rtp") found.sent.push(report);
      if (report.type === "inbound-rtp") {
        found[report.kind] = { ...report, codec: reports.find((other) => other.id === report.codecId)?.mimeType };
      }
    }
    return found;
  },

  /** Restarts ICE by PATCH (RFC 9725 section 4.3.2). Returns the user names of both ends, before and after. */
  async restart(name) {
    const { peer, resource, token } = connections.get(name);
    const ufrag = (sdp) => sdp.match(/a=ice-ufrag:(\S+)/)[1];
    const names = [ufrag(peer.localDescription.sdp), ufrag(peer.remoteDescription.sdp)];
    await peer.setLocalDescription(await peer.createOffer({ iceRestart: true }));
    const lines = peer.localDescription.sdp.split("\r\n");
    const media = lines.findIndex((line) => line.startsWith("m="));
    const found = (start) => lines.slice(media).find((line) => line.startsWith(start));
    const fragment = [found("a=ice-ufrag:"), found("a=ice-pwd:"), lines[media], found("a=mid:")].join("\r\n") + "\r\n";
    const headers = { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": "*" };
    const answer = await (await ask(resource, "PATCH", token, headers, fragment)).text();
    const theirs = (start) => answer.split("\r\n").find((line) => line.startsWith(start));
    const sdp = peer.remoteDescription.sdp
      .replace(/a=ice-ufrag:.*/g, theirs("a=ice-ufrag:"))
      .replace(/a=ice-pwd:.*/g, theirs("a=ice-pwd:"));
    await peer.setRemoteDescription({ type: "answer", sdp });
    return [...names, ufrag(peer.localDescription.sdp), ufrag(peer.remoteDescription.sdp)];
  },

  async close(name) {
    const { peer, resource, token } = connections.get(name);
    connections.delete(name);
    await ask(resource, "DELETE", token);
    peer.close();
  },

  /** Closes what is open, without telling the server. */
  drop() {
    for (const { peer } of connections.values()) peer.close();
    connections.clear();
  },

  /** Begins to note when the picture turns white and when the tone begins, both in ms of one clock. */
  async watch(name) {
    const video = document.getElementById(name);
    const context = new AudioContext();
    await context.resume();
    await context.audioWorklet.addModule(URL.createObjectURL(new Blob([NOTICE], { type: "text/javascript" })));
    const notice = new AudioWorkletNode(context, "notice");
    context.createMediaStreamSource(video.srcObject).connect(notice).connect(context.destination);
    const seen = { flashes: [], beeps: [] };
    window.seen = seen;
    // The audio clock moves in steps, so what it is behind the other one is the least that was seen.
    const behind = [];
    setInterval(() => { behind.push(performance.now() - context.currentTime * 1000); behind.splice(0, behind.length - 300); }, 3);
    notice.port.onmessage = ({ data }) => seen.beeps.push(data * 1000 + Math.min(...behind));
    const brush = Object.assign(document.createElement("canvas"), { width: 4, height: 4 }).getContext("2d", { willReadFrequently: true });
    let bright = true;
    const look = (now, { presentationTime }) => {
      brush.drawImage(video, 0, 0, 4, 4);
      const white = brush.getImageData(1, 1, 1, 1).data[0] > 128;
      if (white && !bright) seen.flashes.push(presentationTime);
      bright = white;
      video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  },

  /** Makes the browser hold sound back, as it does when the network delays it. */
  holdSound(name, milliseconds) {
    const receiver = connections.get(name).peer.getReceivers().find(({ track }) => track.kind === "audio");
    receiver.jitterBufferTarget = milliseconds;
  },

  seen: () => window.seen,
};
