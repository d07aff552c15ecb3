//! Numbers in as few bytes as they take: unsigned LEB128, and zigzag to make small negative numbers small.

/// Appends a number.
#[inline]
pub(super) fn put(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a number of up to 128 bits.
#[inline]
pub(super) fn put_wide(mut value: u128, out: &mut Vec<u8>) {
    while value > u64::MAX as u128 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    put(value as u64, out);
}

/// Takes a number from the front of `bytes`; `None` if there is none that [`put`] writes.
#[inline]
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first()?;
    let mut value = (first & 0x7f) as u64;
    let mut last = *first;
    *bytes = rest;
    let mut shift = 7;
    while last >= 0x80 {
        let (next, rest) = bytes.split_first()?;
        last = *next;
        // The tenth byte has room for one bit; a last byte of zero adds nothing, so that the number would have been shorter.
        if last == 0 || (shift == 63 && last > 1) {
            return None;
        }
        value |= ((last & 0x7f) as u64) << shift;
        shift += 7;
        *bytes = rest;
    }
    Some(value)
}

/// Takes a number of up to 128 bits from the front of `bytes`; `None` if there is none that [`put_wide`] writes.
#[inline]
pub(super) fn take_wide(bytes: &mut &[u8]) -> Option<u128> {
    // The most common numbers end within nine bytes, which 63 bits hold.
    let mut low = 0;
    for at in 0..9 {
        let byte = *bytes.get(at)?;
        low |= ((byte & 0x7f) as u64) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return (byte != 0 || at == 0).then_some(low as u128);
        }
    }
    let mut value = low as u128;
    for at in 9..19 {
        let byte = *bytes.get(at)?;
        // The nineteenth byte has room for two bits.
        if byte == 0 || (at == 18 && byte > 3) {
            return None;
        }
        value |= ((byte & 0x7f) as u128) << (7 * at);
        if byte < 0x80 {
            *bytes = &bytes[at + 1..];
            return Some(value);
        }
    }
    None
}

/// 0, -1, 1, -2 to 0, 1, 2, 3.
#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The other way round.
#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// [`zigzag`] for 128 bits.
#[inline]
pub(super) fn zigzag_wide(value: i128) -> u128 {
    ((value << 1) ^ (value >> 127)) as u128
}

/// [`unzigzag`] for 128 bits.
#[inline]
pub(super) fn unzigzag_wide(value: u128) -> i128 {
    (value >> 1) as i128 ^ -((value & 1) as i128)
}
