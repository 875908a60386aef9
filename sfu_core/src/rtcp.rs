//! stub
use crate::error::RtcpError;
pub mod sr { use arrayvec::ArrayVec; use crate::{ids::Ssrc, units::NtpTime}; pub const MAX_REPORT_BLOCKS: usize = 31;
 #[derive(Debug, Clone, Copy)] pub struct ReportBlock { pub ssrc: Ssrc, pub fraction_lost: u8, pub cumulative_lost: i32, pub highest_sequence: u32, pub jitter: u32, pub last_sender_report: u32, pub delay_since_last: u32 }
 pub struct SenderReport { pub sender: Ssrc, pub ntp: NtpTime, pub rtp_timestamp: u32, pub packets: u32, pub octets: u32, pub blocks: ArrayVec<ReportBlock, 31> } impl SenderReport { pub fn write(&self, _o: &mut [u8]) -> Option<usize> { None } } }
pub mod rr { use super::sr::*; use arrayvec::ArrayVec; use crate::ids::Ssrc; pub struct ReceiverReport { pub sender: Ssrc, pub blocks: ArrayVec<ReportBlock, 31> } impl ReceiverReport { pub fn write(&self, _o: &mut [u8]) -> Option<usize> { None } } }
pub mod nack { use crate::ids::Ssrc; pub struct Nack<'a> { pub media: Ssrc, b: &'a [u8] } impl Nack<'_> { pub fn lost(&self) -> impl Iterator<Item = u16> { self.b.iter().map(|x| *x as u16) } } pub fn write(_s: Ssrc, _m: Ssrc, _l: &[u16], _o: &mut [u8]) -> Option<usize> { None } }
pub mod pli { use crate::ids::Ssrc; pub struct Pli { pub media: Ssrc } pub fn write(_s: Ssrc, _m: Ssrc, _o: &mut [u8]) -> Option<usize> { None } }
pub mod fir { use crate::ids::Ssrc; pub struct Fir; pub struct Req { pub media: Ssrc } impl Fir { pub fn requests(&self) -> impl Iterator<Item = Req> { std::iter::empty() } } }
pub mod sdes { use crate::ids::Ssrc; pub fn write_cname(_s: Ssrc, _c: &str, _o: &mut [u8]) -> Option<usize> { None } }
pub mod remb { use crate::units::Bitrate; pub struct Remb { pub bitrate: Bitrate } }
pub mod twcc { use crate::ids::Ssrc; pub struct TransportFeedback<'a> { pub base_sequence: u16, pub reference_time: u32, b: &'a [u8] } impl TransportFeedback<'_> { pub fn statuses(&self) -> impl Iterator<Item = (u16, Option<i32>)> { self.b.iter().map(|_| (0, None)) } } pub fn write(_s: Ssrc, _m: Ssrc, _c: u8, _b: u64, _it: impl Iterator<Item = Option<u64>>, _o: &mut [u8]) -> Option<usize> { None } }
pub enum RtcpPacket<'a> { SenderReport(sr::SenderReport), ReceiverReport(rr::ReceiverReport), Nack(nack::Nack<'a>), Pli(pli::Pli), Fir(fir::Fir), TransportFeedback(twcc::TransportFeedback<'a>), Remb(remb::Remb), Unknown }
pub fn packets(_d: &[u8]) -> impl Iterator<Item = Result<RtcpPacket<'_>, RtcpError>> { std::iter::empty() }
