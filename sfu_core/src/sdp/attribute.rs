//! Reading one `a=` line (RFC 8866 §5.13) into the section it belongs to. Attributes we do not need are passed over.

use std::net::{IpAddr, SocketAddr};

use super::description::{
    Candidate, Description, Direction, Extension, Feedback, Msid, RidLine, Section, Setup, Simulcast, SimulcastName,
    SourceLine, TransportLines,
};
use super::error::SdpError;
use super::parse::Line;
use crate::ids::{Mid, Rid};
use crate::rtp::ext::{EXTENSION_KINDS, ExtensionKind};
use crate::session::{Fingerprint, MAX_CANDIDATES, MAX_FINGERPRINTS, MAX_MEDIA};

/// Most SSRCs kept of one section: [`crate::session::MAX_ENCODINGS`] with retransmissions, and room for odd ones.
const MAX_SOURCES: usize = 16;
/// Most names kept of one section's simulcast.
const MAX_RIDS: usize = 16;
/// Most extension lines kept of one section: each kind twice, since a kind may be listed per direction.
const MAX_EXTENSIONS: usize = 2 * EXTENSION_KINDS;

/// Attributes before the first m= line.
pub(super) fn read_shared(description: &mut Description, line: Line<'_>) -> Result<(), SdpError> {
    let (name, value) = split(line.value);
    match name {
        "group" => {
            let mut words = value.split_ascii_whitespace();
            if words.next() == Some("BUNDLE") && description.bundle.is_empty() {
                description.bundle = words.take(MAX_MEDIA).filter_map(Mid::new).collect();
            }
        }
        "extmap-allow-mixed" => description.extmap_allow_mixed = true,
        "ice-lite" => description.ice_lite = true,
        "ice-options" => description.trickle |= value.split_ascii_whitespace().any(|option| option == "trickle"),
        _ => read_transport(&mut description.transport, name, value).map_err(|name| bad(line, name))?,
    }
    Ok(())
}

/// Attributes of a section, except its direction.
pub(super) fn read_section(section: &mut Section, line: Line<'_>) -> Result<(), SdpError> {
    let (name, value) = split(line.value);
    match name {
        "mid" => section.mid = Some(Mid::new(value).ok_or(bad(line, "mid"))?),
        "bundle-only" => section.bundle_only = true,
        "rtcp-mux" => section.rtcp_mux = true,
        "rtcp-rsize" => section.rtcp_rsize = true,
        "extmap-allow-mixed" => section.extmap_allow_mixed = true,
        "end-of-candidates" => section.end_of_candidates = true,
        "candidate" if section.candidates.len() < MAX_CANDIDATES => section.candidates.extend(candidate(value)),
        "extmap" => extension(section, value).ok_or(bad(line, "extmap"))?,
        "rtpmap" => rtpmap(section, value).ok_or(bad(line, "rtpmap"))?,
        "fmtp" => fmtp(section, value),
        "rtcp-fb" => rtcp_fb(section, value),
        "msid" => section.msid = msid(value),
        "ssrc" => source(section, value).ok_or(bad(line, "ssrc"))?,
        "ssrc-group" => repair(section, value).ok_or(bad(line, "ssrc-group"))?,
        "rid" if section.rids.len() < MAX_RIDS => section.rids.push(rid(value).ok_or(bad(line, "rid"))?),
        "simulcast" => section.simulcast = simulcast(value).ok_or(bad(line, "simulcast"))?,
        "sctp-port" => section.sctp_port = Some(value.parse().map_err(|_| bad(line, "sctp-port"))?),
        "max-message-size" => {
            let size: u64 = value.parse().map_err(|_| bad(line, "max-message-size"))?;
            section.max_message_size = Some(u32::try_from(size).unwrap_or(u32::MAX));
        }
        _ => read_transport(&mut section.transport, name, value).map_err(|name| bad(line, name))?,
    }
    Ok(())
}

fn bad(line: Line<'_>, name: &'static str) -> SdpError {
    SdpError::Attribute { line: line.number, name }
}

fn split(attribute: &str) -> (&str, &str) {
    let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
    (name, value.trim())
}

/// Attributes that may stand at both levels. Fails with the name of the attribute.
fn read_transport(transport: &mut TransportLines, name: &str, value: &str) -> Result<(), &'static str> {
    match name {
        "ice-ufrag" => transport.ufrag = Some(ice_characters(value, 4).ok_or("ice-ufrag")?),
        "ice-pwd" => transport.pwd = Some(ice_characters(value, 22).ok_or("ice-pwd")?),
        "setup" => transport.setup = Some(Setup::from_name(value).ok_or("setup")?),
        "fingerprint" => {
            let (algorithm, hash) = value.split_once(' ').ok_or("fingerprint")?;
            if algorithm.eq_ignore_ascii_case("sha-256") && transport.fingerprints.len() < MAX_FINGERPRINTS {
                let value = hexadecimal(hash.trim()).ok_or("fingerprint")?;
                transport.fingerprints.push(Fingerprint { algorithm: "sha-256".to_owned(), value });
            }
        }
        _ => {}
    }
    Ok(())
}

/// RFC 8839 §5.4: at most 256 of `ice-char`. Some agents use `-` and `_` too, and STUN does not mind; a colon would
/// break the user name of a check in two.
pub(super) fn ice_characters(value: &str, min: usize) -> Option<String> {
    let allowed = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    ((min..=256).contains(&value.len()) && allowed).then(|| value.to_owned())
}

/// `AB:CD:…`, 32 bytes.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let bytes: Option<Vec<u8>> = text
        .split(':')
        .take(33)
        .map(|pair| match pair.as_bytes() {
            &[high, low] => Some((nibble(high)? << 4) | nibble(low)?),
            _ => None,
        })
        .collect();
    bytes.filter(|bytes| bytes.len() == 32)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// Names that are no addresses (mDNS), TCP and the RTCP component are passed over: ICE finds the way without them.
fn candidate(value: &str) -> Option<Candidate> {
    let mut fields = value.split_ascii_whitespace();
    let foundation = fields.next().filter(|f| f.len() <= 32 && f.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let component = fields.next()?;
    let protocol = fields.next()?;
    let priority = fields.next()?.parse().ok()?;
    let address: IpAddr = fields.next()?.parse().ok()?;
    let port: u16 = fields.next()?.parse().ok()?;
    let kind = (fields.next() == Some("typ")).then(|| fields.next())??;
    let usable = component == "1"
        && protocol.eq_ignore_ascii_case("udp")
        && port != 0
        && !address.is_unspecified()
        && !address.is_multicast();
    let kind = ["host", "srflx", "prflx", "relay"].into_iter().find(|known| *known == kind)?;
    usable.then(|| Candidate {
        foundation: foundation.to_owned(),
        priority,
        address: SocketAddr::new(address, port),
        kind: kind.to_owned(),
    })
}

/// `<id>[/<direction>] <uri> …`. Extensions we do not know are passed over.
fn extension(section: &mut Section, value: &str) -> Option<()> {
    let mut fields = value.split_ascii_whitespace();
    let first = fields.next()?;
    let (id, direction) = match first.split_once('/') {
        Some((id, direction)) => (id, Some(Direction::from_name(direction)?)),
        None => (first, None),
    };
    let id: u16 = id.parse().ok()?;
    let kind = ExtensionKind::from_uri(fields.next()?);
    // 4096 and above ask for a number of our choice (RFC 8285 §7): as good as unknown.
    let id = u8::try_from(id).ok().filter(|id| *id != 0);
    let known = kind.zip(id).filter(|_| section.extensions.len() < MAX_EXTENSIONS);
    section.extensions.extend(known.map(|(kind, id)| Extension { id, kind, direction }));
    Some(())
}

/// `<number> <name>/<clock rate>[/<channels>]`
fn rtpmap(section: &mut Section, value: &str) -> Option<()> {
    let (number, encoding) = value.split_once(' ')?;
    let number: u8 = number.parse().ok()?;
    let mut parts = encoding.trim().split('/');
    let name = parts.next().filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()))?;
    let clock_rate_hz = parts.next()?.parse().ok()?;
    let channels = parts.next().map(str::parse).transpose().ok()?;
    if let Some(payload) = section.payloads.iter_mut().find(|payload| payload.number == number) {
        name.clone_into(&mut payload.name);
        payload.clock_rate_hz = clock_rate_hz;
        payload.channels = channels;
    }
    Some(())
}

fn fmtp(section: &mut Section, value: &str) {
    let Some((number, parameters)) = value.split_once(' ') else { return };
    let parameters = parameters.trim();
    let number = number.parse().ok();
    if let Some(payload) = section.payloads.iter_mut().find(|payload| Some(payload.number) == number) {
        parameters.clone_into(&mut payload.fmtp);
    }
}

fn rtcp_fb(section: &mut Section, value: &str) {
    let Some((number, feedback)) = value.split_once(' ') else { return };
    let Some(feedback) = Feedback::from_name(feedback.trim()) else { return };
    let number: Option<u8> = number.parse().ok();
    for payload in section.payloads.iter_mut().filter(|payload| number.is_none_or(|number| payload.number == number)) {
        if !payload.feedback.contains(&feedback) {
            payload.feedback.push(feedback);
        }
    }
}

fn msid(value: &str) -> Option<Msid> {
    let mut words = value.split_ascii_whitespace();
    let stream = words.next()?.to_owned();
    Some(Msid { stream, track: words.next().map(str::to_owned) })
}

/// `<ssrc> [<attribute>[:<value>]]`
fn source(section: &mut Section, value: &str) -> Option<()> {
    let (ssrc, attribute) = value.split_once(' ').unwrap_or((value, ""));
    let ssrc = ssrc.parse().ok()?;
    let known = section.sources_index(ssrc);
    let index = match known {
        Some(index) => index,
        None if section.ssrcs.len() == MAX_SOURCES => return Some(()),
        None => {
            section.ssrcs.push(SourceLine { ssrc, cname: None, msid: None });
            section.ssrcs.len() - 1
        }
    };
    let line = &mut section.ssrcs[index];
    match split(attribute) {
        ("cname", cname) if !cname.is_empty() => line.cname = Some(cname.to_owned()),
        ("msid", value) => line.msid = msid(value),
        _ => {}
    }
    Some(())
}

fn repair(section: &mut Section, value: &str) -> Option<()> {
    let mut words = value.split_ascii_whitespace();
    let semantics = words.next()?;
    if semantics == "FID" && section.repairs.len() < MAX_SOURCES {
        section.repairs.push((words.next()?.parse().ok()?, words.next()?.parse().ok()?));
    }
    Some(())
}

/// `<rid> send|recv [pt=1,2;…]`
fn rid(value: &str) -> Option<RidLine> {
    let mut words = value.splitn(3, ' ');
    let rid = Rid::new(words.next()?)?;
    let sends = match words.next()? {
        "send" => true,
        "recv" => false,
        _ => return None,
    };
    let restrictions = words.next().unwrap_or("");
    let payload_types = restrictions.split(';').find_map(|part| part.trim().strip_prefix("pt=")).map_or_else(
        || Some(Vec::new()),
        |list| list.split(',').take(128).map(|number| number.trim().parse().ok()).collect::<Option<Vec<u8>>>(),
    )?;
    Some(RidLine { rid, sends, payload_types })
}

/// `send q;h;f [recv …]`. Drafts wrote `send rid=q;h;f`, which is understood too.
fn simulcast(value: &str) -> Option<Simulcast> {
    let mut simulcast = Simulcast::default();
    let mut words = value.split_ascii_whitespace();
    while let Some(direction) = words.next() {
        let list = words.next()?;
        let list = list.strip_prefix("rid=").unwrap_or(list);
        let names: Option<Vec<SimulcastName>> = list.split(';').take(MAX_RIDS).map(simulcast_name).collect();
        match direction {
            "send" => simulcast.send = names?,
            "recv" => simulcast.recv = names?,
            _ => return None,
        }
    }
    Some(simulcast)
}

fn simulcast_name(alternatives: &str) -> Option<SimulcastName> {
    let first = alternatives.split(',').next()?;
    let paused = first.starts_with('~');
    Some(SimulcastName { rid: Rid::new(first.strip_prefix('~').unwrap_or(first))?, paused })
}

impl Section {
    fn sources_index(&self, ssrc: u32) -> Option<usize> {
        self.ssrcs.iter().position(|line| line.ssrc == ssrc)
    }
}
