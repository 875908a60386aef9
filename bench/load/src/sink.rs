//! Where packets end that nobody reads: they are counted, and those with a stamp tell how long the way took.

use crate::clock::{Clock, go_first};
use crate::histogram::Histogram;
use crate::load::TICK_NS;
use crate::packet::Stamp;
use crate::report;
use crate::settings::SinkSettings;
use crate::signalling::Failure;
use crate::socket::Socket;

/// It ends when nothing has come for so long, after something had.
const SILENCE_NS: u64 = 300_000_000;
/// A stamp is one when it is not older than this.
const MAX_AGE_NS: u64 = 1_000_000_000;

/// Receives, then tells how many came.
pub(crate) fn run(settings: &SinkSettings) -> Result<(), Failure> {
    let clock = Clock::start();
    let mut socket = Socket::bind(settings.port, settings.offload)?;
    go_first();
    report::line(&serde_json::json!({"event": "listening"}));
    let (mut received, mut bytes, mut delay) = (0_u64, 0_u64, Histogram::default());
    let mut last_ns = None;
    loop {
        let now_ns = clock.now().since_start_ns;
        let before = received;
        while socket.receive(|arrived| {
            received += 1;
            bytes += arrived.bytes.len() as u64;
            let age = Stamp::of(arrived.bytes).map(|stamp| arrived.at_ns.wrapping_sub(stamp.sent_ns));
            if let Some(age) = age.filter(|age| *age < MAX_AGE_NS) {
                delay.add(age);
            }
        })? {}
        if received > before {
            last_ns = Some(now_ns);
        }
        if now_ns > settings.seconds * 1_000_000_000 || last_ns.is_some_and(|last_ns| now_ns > last_ns + SILENCE_NS) {
            break;
        }
        clock.sleep_until((now_ns / TICK_NS + 1) * TICK_NS);
    }
    report::line(&serde_json::json!({
        "event": "report",
        "received": received,
        "bytes": bytes,
        "delay_us": report::quantiles(&delay),
    }));
    Ok(())
}
