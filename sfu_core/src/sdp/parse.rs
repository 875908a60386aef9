//! Reading a session description (RFC 8866 §5): lines into sections. One pass; never panics, the text comes from afar.

use super::attribute;
use super::description::{Description, Direction, Payload, Section, SectionKind};
use super::error::SdpError;
use super::{MAX_BYTES, MAX_LINES};
use crate::session::{MAX_MEDIA, MediaKind};

/// Most formats on one m= line: RTP has no more payload types.
const MAX_FORMATS: usize = 128;

/// One line of the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// From 1.
    pub(super) number: u32,
    pub(super) letter: u8,
    pub(super) value: &'a str,
}

/// Reads a description.
///
/// # Errors
/// [`SdpError`], when the text is too big, is not SDP, or an attribute we need breaks its grammar.
pub(super) fn parse(text: &str) -> Result<Description, SdpError> {
    let mut description = Description::default();
    let mut direction = Direction::SendRecv;
    let mut section_direction = None;
    let mut began = false;
    check_size(text)?;
    for line in lines(text) {
        let line = line?;
        if !began {
            if line.letter != b'v' || line.value != "0" {
                return Err(SdpError::Version { line: line.number });
            }
            began = true;
        }
        match line.letter {
            b'o' => description.origin = origin(line.value),
            b'm' => {
                finish_section(&mut description, section_direction.take().unwrap_or(direction));
                push_section(&mut description, line)?;
            }
            b'a' => match description.media.last_mut() {
                Some(section) => match Direction::from_name(line.value) {
                    Some(own) => section_direction = Some(own),
                    None => attribute::read_section(section, line)?,
                },
                None => match Direction::from_name(line.value) {
                    Some(shared) => direction = shared,
                    None => attribute::read_shared(&mut description, line)?,
                },
            },
            _ => {}
        }
    }
    finish_section(&mut description, section_direction.unwrap_or(direction));
    if !began {
        return Err(SdpError::Version { line: 1 });
    }
    check_mids(&description)?;
    Ok(description)
}

fn check_size(text: &str) -> Result<(), SdpError> {
    if text.len() > MAX_BYTES {
        return Err(SdpError::TooLong);
    }
    if text.bytes().filter(|&byte| byte == b'\n').count() > MAX_LINES {
        return Err(SdpError::TooManyLines);
    }
    Ok(())
}

/// The lines with their numbers; empty ones are passed over.
fn lines(text: &str) -> impl Iterator<Item = Result<Line<'_>, SdpError>> {
    text.split('\n').zip(1u32..).filter_map(|(raw, number)| {
        let line = raw.strip_suffix('\r').unwrap_or(raw);
        if line.is_empty() {
            return None;
        }
        let read = match line.split_once('=') {
            Some((letter, value)) if letter.len() == 1 && !value.contains(char::is_control) => {
                Ok(Line { number, letter: letter.as_bytes()[0], value: value.trim_end() })
            }
            _ => Err(SdpError::NotALine { line: number }),
        };
        Some(read)
    })
}

/// `o=`: numbers that cannot be read count as 0, since nothing depends on them.
fn origin(value: &str) -> (u64, u64) {
    let mut fields = value.split(' ').skip(1).map(|field| field.parse().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

fn push_section(description: &mut Description, line: Line<'_>) -> Result<(), SdpError> {
    if description.media.len() == MAX_MEDIA {
        return Err(SdpError::TooManySections { line: line.number });
    }
    description.media.push(media_line(line).ok_or(SdpError::MediaLine { line: line.number })?);
    Ok(())
}

/// `m=<media> <port>[/<ports>] <protocol> <format> …`
fn media_line(line: Line<'_>) -> Option<Section> {
    if !line.value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return None;
    }
    let mut fields = line.value.split(' ').filter(|field| !field.is_empty());
    let media = fields.next()?.to_owned();
    let port = fields.next()?.split('/').next()?.parse().ok()?;
    let protocol = fields.next()?.to_owned();
    let formats: Vec<String> = fields.take(MAX_FORMATS + 1).map(str::to_owned).collect();
    if formats.is_empty() || formats.len() > MAX_FORMATS {
        return None;
    }
    let kind = match media.as_str() {
        "audio" => SectionKind::Media(MediaKind::Audio),
        "video" => SectionKind::Media(MediaKind::Video),
        "application" => SectionKind::Data,
        _ => SectionKind::Unknown,
    };
    let mut payloads: Vec<Payload> = Vec::new();
    if matches!(kind, SectionKind::Media(_)) {
        for number in formats.iter().filter_map(|format| format.parse().ok()).filter(|&number: &u8| number < 128) {
            if payloads.iter().all(|payload| payload.number != number) {
                payloads.push(Payload { number, ..Payload::default() });
            }
        }
    }
    Some(Section { line: line.number, kind, media, port, protocol, formats, payloads, ..Section::default() })
}

fn finish_section(description: &mut Description, direction: Direction) {
    if let Some(section) = description.media.last_mut() {
        section.direction = direction;
    }
}

fn check_mids(description: &Description) -> Result<(), SdpError> {
    for (index, section) in description.media.iter().enumerate() {
        let earlier = &description.media[..index];
        if section.mid.is_some() && earlier.iter().any(|other| other.mid == section.mid) {
            return Err(SdpError::DuplicateMid { line: section.line });
        }
    }
    Ok(())
}
