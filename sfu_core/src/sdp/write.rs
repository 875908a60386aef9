//! Writing a session description (RFC 8866 §5), in the order of lines that browsers use.

use std::fmt::Write as _;

use super::description::{Description, Msid, Payload, Section, SimulcastName, TransportLines};

/// Collects lines. Writing to a string cannot fail, so results are dropped in one place.
#[derive(Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn push(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(line);
        self.0.push_str("\r\n");
    }

    fn flag(&mut self, set: bool, line: &str) {
        if set {
            self.push(format_args!("a={line}"));
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// The text of a description.
pub(super) fn write(description: &Description) -> String {
    let mut lines = Lines::default();
    let (id, version) = description.origin;
    lines.push(format_args!("v=0"));
    lines.push(format_args!("o=- {id} {version} IN IP4 0.0.0.0"));
    lines.push(format_args!("s=-"));
    lines.push(format_args!("t=0 0"));
    write_bundle(&mut lines, description);
    lines.flag(description.extmap_allow_mixed, "extmap-allow-mixed");
    lines.flag(description.ice_lite, "ice-lite");
    lines.flag(description.trickle, "ice-options:trickle");
    lines.push(format_args!("a=msid-semantic: WMS *"));
    write_transport(&mut lines, &description.transport);
    for section in &description.media {
        write_section(&mut lines, section);
    }
    lines.into_text()
}

pub(super) fn write_bundle(lines: &mut Lines, description: &Description) {
    if !description.bundle.is_empty() {
        let mids: Vec<&str> = description.bundle.iter().map(crate::ids::Mid::as_str).collect();
        lines.push(format_args!("a=group:BUNDLE {}", mids.join(" ")));
    }
}

fn write_transport(lines: &mut Lines, transport: &TransportLines) {
    if let Some(ufrag) = &transport.ufrag {
        lines.push(format_args!("a=ice-ufrag:{ufrag}"));
    }
    if let Some(pwd) = &transport.pwd {
        lines.push(format_args!("a=ice-pwd:{pwd}"));
    }
    for fingerprint in &transport.fingerprints {
        let pairs: Vec<String> = fingerprint.value.iter().map(|byte| format!("{byte:02X}")).collect();
        lines.push(format_args!("a=fingerprint:{} {}", fingerprint.algorithm, pairs.join(":")));
    }
    if let Some(setup) = transport.setup {
        lines.push(format_args!("a=setup:{}", setup.name()));
    }
}

pub(super) fn write_candidates(lines: &mut Lines, section: &Section) {
    for candidate in &section.candidates {
        lines.push(format_args!(
            "a=candidate:{} 1 udp {} {} {} typ {}",
            candidate.foundation,
            candidate.priority,
            candidate.address.ip(),
            candidate.address.port(),
            candidate.kind
        ));
    }
    lines.flag(section.end_of_candidates, "end-of-candidates");
}

/// The m= line, the name and the transport of a section.
pub(super) fn write_head(lines: &mut Lines, section: &Section) {
    let Section { media, port, protocol, .. } = section;
    lines.push(format_args!("m={media} {port} {protocol} {}", section.formats.join(" ")));
    lines.push(format_args!("c=IN IP4 0.0.0.0"));
    if let Some(mid) = section.mid {
        lines.push(format_args!("a=mid:{}", mid.as_str()));
    }
    write_transport(lines, &section.transport);
    write_candidates(lines, section);
}

fn write_section(lines: &mut Lines, section: &Section) {
    write_head(lines, section);
    lines.flag(section.bundle_only, "bundle-only");
    lines.push(format_args!("a={}", section.direction.name()));
    if let Some(msid) = &section.msid {
        lines.push(format_args!("a=msid:{}", msid_text(msid)));
    }
    lines.flag(section.rtcp_mux, "rtcp-mux");
    lines.flag(section.rtcp_rsize, "rtcp-rsize");
    lines.flag(section.extmap_allow_mixed, "extmap-allow-mixed");
    for extension in &section.extensions {
        let direction = extension.direction.map_or(String::new(), |direction| format!("/{}", direction.name()));
        lines.push(format_args!("a=extmap:{}{direction} {}", extension.id, extension.kind.uri()));
    }
    for payload in &section.payloads {
        write_payload(lines, payload);
    }
    write_sources(lines, section);
    for line in &section.rids {
        let direction = if line.sends { "send" } else { "recv" };
        let numbers: Vec<String> = line.payload_types.iter().map(u8::to_string).collect();
        let restriction = if numbers.is_empty() { String::new() } else { format!(" pt={}", numbers.join(",")) };
        lines.push(format_args!("a=rid:{} {direction}{restriction}", line.rid.as_str()));
    }
    write_simulcast(lines, section);
    if let Some(port) = section.sctp_port {
        lines.push(format_args!("a=sctp-port:{port}"));
    }
    if let Some(size) = section.max_message_size {
        lines.push(format_args!("a=max-message-size:{size}"));
    }
}

fn write_payload(lines: &mut Lines, payload: &Payload) {
    let Payload { number, name, clock_rate_hz, fmtp, .. } = payload;
    if !name.is_empty() {
        let channels = payload.channels.map_or(String::new(), |channels| format!("/{channels}"));
        lines.push(format_args!("a=rtpmap:{number} {name}/{clock_rate_hz}{channels}"));
    }
    for feedback in &payload.feedback {
        lines.push(format_args!("a=rtcp-fb:{number} {}", feedback.name()));
    }
    if !fmtp.is_empty() {
        lines.push(format_args!("a=fmtp:{number} {fmtp}"));
    }
}

fn write_sources(lines: &mut Lines, section: &Section) {
    for (media, repair) in &section.repairs {
        lines.push(format_args!("a=ssrc-group:FID {media} {repair}"));
    }
    for line in &section.ssrcs {
        if line.cname.is_none() && line.msid.is_none() {
            lines.push(format_args!("a=ssrc:{}", line.ssrc));
        }
        if let Some(cname) = &line.cname {
            lines.push(format_args!("a=ssrc:{} cname:{cname}", line.ssrc));
        }
        if let Some(msid) = &line.msid {
            lines.push(format_args!("a=ssrc:{} msid:{}", line.ssrc, msid_text(msid)));
        }
    }
}

fn write_simulcast(lines: &mut Lines, section: &Section) {
    let mut parts = Vec::new();
    for (direction, names) in [("send", &section.simulcast.send), ("recv", &section.simulcast.recv)] {
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(simulcast_text).collect();
            parts.push(format!("{direction} {}", names.join(";")));
        }
    }
    if !parts.is_empty() {
        lines.push(format_args!("a=simulcast:{}", parts.join(" ")));
    }
}

fn simulcast_text(name: &SimulcastName) -> String {
    format!("{}{}", if name.paused { "~" } else { "" }, name.rid.as_str())
}

fn msid_text(msid: &Msid) -> String {
    match &msid.track {
        Some(track) => format!("{} {track}", msid.stream),
        None => msid.stream.clone(),
    }
}
