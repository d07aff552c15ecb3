//! The headers of segments and frames as bytes. What they mean is told in [`super`].

use crc32c::{crc32c, crc32c_append};

pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
pub(super) const FRAME_HEADER_BYTES: usize = 32;
/// The version that is written, and the only one that is read.
pub(super) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"weir log";
const EXTENSION: &str = ".log";
const NAME_DIGITS: usize = 20;

/// What a segment says of itself and of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub index: u64,
    pub first: u64,
    pub before_bytes: u64,
    pub before_last: u64,
}

/// Why bytes are no header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoHeader {
    /// They are not what was written.
    Wrong,
    /// They are of this other version.
    Version(u32),
}

/// What precedes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub checksum: u32,
    pub len: u64,
    pub number: u64,
    pub batch: u64,
}

/// The name of the segment that begins with this number; names sort as numbers do.
pub(super) fn file_name(first: u64) -> String {
    format!("{first:0NAME_DIGITS$}{EXTENSION}")
}

/// The first number that a name tells, if it is one of a segment; `None` inside if it only looks like one.
pub(super) fn first_of_name(name: &str) -> Option<Option<u64>> {
    let digits = name.strip_suffix(EXTENSION)?;
    let plain = digits.len() == NAME_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    Some(if plain { digits.parse().ok() } else { None })
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[12..16].copy_from_slice(&VERSION.to_le_bytes());
        for (at, value) in [(16, self.index), (24, self.first), (32, self.before_bytes), (40, self.before_last)] {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let checksum = crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, NoHeader> {
        // Every version keeps the magic, the checksum over 64 bytes, and itself where they are, so that a flipped bit is told from a
        // newer version.
        if bytes.len() < SEGMENT_HEADER_BYTES || &bytes[..8] != MAGIC || crc32c(&bytes[12..SEGMENT_HEADER_BYTES]) != u32_at(bytes, 8) {
            return Err(NoHeader::Wrong);
        }
        match u32_at(bytes, 12) {
            VERSION => Ok(SegmentHeader {
                index: u64_at(bytes, 16),
                first: u64_at(bytes, 24),
                before_bytes: u64_at(bytes, 32),
                before_last: u64_at(bytes, 40),
            }),
            other => Err(NoHeader::Version(other)),
        }
    }
}

impl FrameHeader {
    /// The header for this payload in the batch that begins at this offset.
    pub fn of(number: u64, batch: u64, payload: &[u8]) -> Self {
        FrameHeader { checksum: crc32c(payload), len: payload.len() as u64, number, batch }
    }

    pub fn encode(&self, segment: u64, offset: u64) -> [u8; FRAME_HEADER_BYTES] {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        bytes[4..8].copy_from_slice(&self.checksum.to_le_bytes());
        for (at, value) in [(8, self.len), (16, self.number), (24, self.batch)] {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let checksum = checksum(segment, offset, &bytes);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that is in these bytes, if they were written at this offset of this segment.
    pub fn decode(bytes: &[u8], segment: u64, offset: u64) -> Option<Self> {
        let header = Self::unchecked(bytes);
        (checksum(segment, offset, bytes) == u32_at(bytes, 0)).then_some(header)
    }

    /// What these bytes say if they are a header: for a first look.
    pub fn unchecked(bytes: &[u8]) -> Self {
        FrameHeader { checksum: u32_at(bytes, 4), len: u64_at(bytes, 8), number: u64_at(bytes, 16), batch: u64_at(bytes, 24) }
    }

    pub fn fits(&self, payload: &[u8]) -> bool {
        crc32c(payload) == self.checksum
    }
}

fn checksum(segment: u64, offset: u64, header: &[u8]) -> u32 {
    let place = crc32c_append(crc32c(&segment.to_le_bytes()), &offset.to_le_bytes());
    crc32c_append(place, &header[4..FRAME_HEADER_BYTES])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_and_no_flipped_bit_goes_unseen() {
        let segment = SegmentHeader { index: 3, first: 17, before_bytes: 4096, before_last: 16 };
        let frame = FrameHeader::of(17, 0, b"payload");
        let bytes = segment.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(segment));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Wrong), "bit {bit}");
        }
        let bytes = frame.encode(17, 64);
        assert_eq!(FrameHeader::decode(&bytes, 17, 64), Some(frame));
        assert_eq!(FrameHeader::decode(&bytes, 17, 65), None, "at another place");
        assert_eq!(FrameHeader::decode(&bytes, 18, 64), None, "in another segment");
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&bytes, 17, 64), None, "bit {bit}");
        }
        assert!(frame.fits(b"payload") && !frame.fits(b"paylord"));
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut bytes = SegmentHeader { index: 1, first: 1, before_bytes: 0, before_last: 0 }.encode();
        bytes[12] = 9;
        let checksum = crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(NoHeader::Version(9)));
    }

    #[test]
    fn names_tell_their_first_number() {
        assert_eq!(file_name(42), "00000000000000000042.log");
        assert_eq!(first_of_name(&file_name(u64::MAX)), Some(Some(u64::MAX)));
        assert_eq!(first_of_name("99999999999999999999.log"), Some(None));
        assert_eq!(first_of_name("42.log"), Some(None));
        assert_eq!(first_of_name("README"), None);
    }
}
