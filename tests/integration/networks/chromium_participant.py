"""A program: one headless Chromium that publishes its fake camera by WHIP, or plays by WHEP.

Takes an order (see `whip.Order`) as JSON, writes one JSON line per thing that happens, ends when its input ends. A line
"restart" on its input restarts ICE.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from contextlib import suppress

from playwright.async_api import Page, async_playwright

from networks.whip import Order, post, restart, restarted_answer, tell, told

ORIGIN = "https://participant.test/"  # getUserMedia needs a secure origin; nothing is fetched from there.
LOOK_INTERVAL_MS = 100
TELL_INTERVAL_S = 0.3
RESTART = b"restart\n"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]

# The page's part. `looks` holds what getStats said, one entry per LOOK_INTERVAL_MS, until it is fetched.
SCRIPT = """
const looks = [];
let pc;
async function open(order) {
  pc = new RTCPeerConnection();
  const media = await navigator.mediaDevices.getUserMedia({
    audio: true, video: {width: order.width, height: order.height, frameRate: order.frame_rate}});
  pc.onconnectionstatechange = () => looks.push({at: now(), state: pc.connectionState});
  if (order.publishes) {
    const cap = order.max_kbps ? {maxBitrate: order.max_kbps * 1000} : {};
    const encodings = order.simulcast
      ? [{rid: 'q', scaleResolutionDownBy: 4}, {rid: 'h', scaleResolutionDownBy: 2}, {rid: 'f'}] : [cap];
    pc.addTransceiver(media.getAudioTracks()[0], {direction: 'sendonly', streams: [media]});
    pc.addTransceiver(media.getVideoTracks()[0], {direction: 'sendonly', streams: [media], sendEncodings: encodings});
  } else {
    pc.addTransceiver('audio', {direction: 'recvonly'});
    pc.addTransceiver('video', {direction: 'recvonly'});
    pc.ontrack = event => {
      const element = document.createElement(event.track.kind);
      element.autoplay = true;
      element.srcObject = new MediaStream([event.track]);
      document.body.append(element);
    };
  }
  return await offer({});
}
async function offer(options) {
  await pc.setLocalDescription(await pc.createOffer(options));
  return pc.localDescription.sdp;
}
async function accept(answer) {
  await pc.setRemoteDescription({type: 'answer', sdp: answer});
}
const now = () => (performance.timeOrigin + performance.now()) / 1000;
async function look() {
  if (!pc) return;
  const seen = {at: now(), sent: []};
  const stats = await pc.getStats();
  for (const stat of stats.values()) {
    if (stat.type === 'inbound-rtp' && stat.kind === 'video')
      Object.assign(seen, {frames: stat.framesDecoded, width: stat.frameWidth || 0, video_bytes: stat.bytesReceived,
        lost: stat.packetsLost, nacks: stat.nackCount, plis: stat.pliCount, freezes: stat.freezeCount,
        keyframes: stat.keyFramesDecoded, retransmitted: stat.retransmittedPacketsReceived});
    if (stat.type === 'inbound-rtp' && stat.kind === 'audio')
      Object.assign(seen, {samples: stat.totalSamplesReceived, concealed: stat.concealedSamples,
        silent: stat.silentConcealedSamples, inserted: stat.insertedSamplesForDeceleration,
        removed: stat.removedSamplesForAcceleration, audio_packets: stat.packetsReceived, audio_lost: stat.packetsLost,
        jitter_buffer_s: stat.jitterBufferEmittedCount ? stat.jitterBufferDelay / stat.jitterBufferEmittedCount : 0});
    if (stat.type === 'outbound-rtp' && stat.kind === 'video')
      seen.sent.push([stat.rid || '', stat.framesEncoded, stat.frameWidth || 0, stat.bytesSent, stat.active]);
    if (stat.type === 'transport')
      Object.assign(seen, {dtls: stat.dtlsState, moves: stat.selectedCandidatePairChanges});
    if (stat.type === 'candidate-pair' && stat.nominated && stat.state === 'succeeded')
      Object.assign(seen, {rtt_s: stat.currentRoundTripTime, outgoing_bps: stat.availableOutgoingBitrate,
        remote: stats.get(stat.remoteCandidateId)?.address});
  }
  looks.push(seen);
}
setInterval(look, LOOK_INTERVAL_MS);
const taken = () => looks.splice(0);
"""


async def main(order: Order) -> None:
    """Joins, tells what it sees, and leaves when its input ends."""
    camera = [f"--use-file-for-fake-video-capture={order.video_file}"] if order.video_file else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS + camera)
        page = await browser.new_page()
        await page.route("**", lambda route: route.fulfill(body="<body></body>", content_type="text/html"))
        await page.goto(ORIGIN)
        await page.add_script_tag(content=SCRIPT.replace("LOOK_INTERVAL_MS", str(LOOK_INTERVAL_MS)))
        offer = await page.evaluate("order => open(order)", dataclasses.asdict(order))
        tell(ready=True)
        lines = await told()
        telling = asyncio.create_task(_tell_looks(page))
        try:
            opened = await post(order, (await lines.readline()).decode().strip(), offer)
            await page.evaluate("answer => accept(answer)", opened.answer)
            tell(joined=opened.resource, source=opened.source)
            while await lines.readline() == RESTART:
                offer = await page.evaluate("offer({iceRestart: true})")
                fragment = await restart(order, opened.resource, offer)
                await page.evaluate("answer => accept(answer)", restarted_answer(opened.answer, fragment))
                tell(restarted=True)
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
            await browser.close()


async def _tell_looks(page: Page) -> None:
    while True:
        await asyncio.sleep(TELL_INTERVAL_S)
        tell(looks=await page.evaluate("taken()"))


if __name__ == "__main__":
    asyncio.run(main(Order(**json.loads(sys.argv[1]))))
