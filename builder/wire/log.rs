//! etcd's log: every segment begins with the IDs of the member and of its cluster (server/storage/wal).

use super::hex::Id;

/// The two records with which a segment begins are shorter.
pub const LOG_BEGIN: u64 = 512;

/// Whose a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogIds {
    /// The member.
    pub member: Id,
    /// Its cluster.
    pub cluster: Id,
}

/// Out of the first bytes of a segment: it begins with a record that has a checksum, and one with `Metadata`.
pub fn ids_of_log(begin: &[u8]) -> Option<LogIds> {
    const METADATA: u64 = 1;
    const CHECKSUM: u64 = 4;
    let (first, rest) = frame(begin)?;
    let (second, _) = frame(rest)?;
    let (first, second) = (Fields::read(first)?, Fields::read(second)?);
    if first.number(1) != Some(CHECKSUM) || second.number(1) != Some(METADATA) {
        return None;
    }
    let metadata = Fields::read(second.bytes(3)?)?;
    Some(LogIds { member: Id(metadata.number(1)?), cluster: Id(metadata.number(2)?) })
}

/// A record, and what follows it. 8 bytes, little-endian: the length of the record in the lower seven; the highest one
/// says by how many bytes it is padded to a multiple of 8.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*header) & (u64::MAX >> 8)).ok()?;
    let padding = if header[7] & 0x80 == 0 { 0 } else { usize::from(header[7] & 7) };
    Some((rest.get(..length)?, rest.get(length.checked_add(padding)?..)?))
}

/// The first fields of a message of protobuf, each of them a number or bytes.
struct Fields<'b> {
    numbers: [Option<u64>; 4],
    bytes: [Option<&'b [u8]>; 4],
}

impl<'b> Fields<'b> {
    fn read(mut from: &'b [u8]) -> Option<Self> {
        let mut all = Self { numbers: [None; 4], bytes: [None; 4] };
        while !from.is_empty() {
            let key = varint(&mut from)?;
            let at = usize::try_from(key >> 3).ok().filter(|at| *at < 4)?;
            let value = varint(&mut from)?;
            match key & 7 {
                0 => all.numbers[at] = Some(value),
                2 => {
                    let length = usize::try_from(value).ok()?;
                    all.bytes[at] = Some(from.get(..length)?);
                    from = &from[length..];
                }
                _ => return None,
            }
        }
        Some(all)
    }

    fn number(&self, at: usize) -> Option<u64> {
        self.numbers[at]
    }

    fn bytes(&self, at: usize) -> Option<&'b [u8]> {
        self.bytes[at]
    }
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        // The tenth byte has room for one bit.
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop};
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn put(to: &mut Vec<u8>, mut value: u64) {
        while value >= 0x80 {
            to.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        to.push(value as u8);
    }

    fn framed(record: &[u8]) -> Vec<u8> {
        let padding = record.len().next_multiple_of(8) - record.len();
        let mut all = (record.len() as u64).to_le_bytes().to_vec();
        all[7] = if padding == 0 { 0 } else { 0x80 | padding as u8 };
        all.extend(record);
        all.resize(all.len() + padding, 0);
        all
    }

    /// The begin of a segment as etcd's encoder writes it.
    fn segment(member: u64, cluster: u64, before: u32, checksum: u32) -> Vec<u8> {
        let mut first = vec![8, 4, 16];
        put(&mut first, before.into());
        let mut metadata = vec![8];
        put(&mut metadata, member);
        metadata.push(16);
        put(&mut metadata, cluster);
        let mut second = vec![8, 1, 16];
        put(&mut second, checksum.into());
        second.push(0x1a);
        put(&mut second, metadata.len() as u64);
        second.extend(metadata);
        [framed(&first), framed(&second), framed(b"\x08\x05\x10\x00\x1a\x04\x08\x00\x10\x00"), vec![0; 64]]
            .concat()
    }

    proptest! {
        #[test]
        fn ids_are_those_that_were_written(member in any::<u64>(), cluster in any::<u64>(), before: u32, sum: u32) {
            let begin = segment(member, cluster, before, sum);
            prop_assert_eq!(ids_of_log(&begin), Some(LogIds { member: Id(member), cluster: Id(cluster) }));
        }

        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = ids_of_log(&bytes);
        }

        #[test]
        fn damage_is_no_panic(at in 0_usize..40, to: u8, member: u64, cluster: u64) {
            let mut begin = segment(member, cluster, 0, 1);
            begin[at] = to;
            let _ = ids_of_log(&begin);
        }

        #[test]
        fn cut_segments_are_none(member: u64, cluster: u64, end in 0_usize..40) {
            let begin = segment(member | 1 << 63, cluster | 1 << 63, 0, 1);
            prop_assert!(ids_of_log(&begin[..end]).is_none());
        }
    }

    #[test]
    fn lengths_beyond_the_end_are_none() {
        for header in [u64::MAX, u64::MAX >> 8, 1 << 55, 505] {
            let bytes = [&header.to_le_bytes()[..], &[0; 504]].concat();
            assert_eq!(ids_of_log(&bytes), None, "{header:x}");
        }
        let mut begin = segment(1, 2, 0, 1);
        // Another kind of first record, and then of second.
        begin[9] = 1;
        assert_eq!(ids_of_log(&begin), None);
        begin[9] = 4;
        assert!(ids_of_log(&begin).is_some());
        begin[25] = 3;
        assert_eq!(ids_of_log(&begin), None);
        assert_eq!(varint(&mut &[0xff; 9][..]), None);
        assert_eq!(varint(&mut &[&[0xff; 9][..], &[1]].concat()[..]), Some(u64::MAX));
        assert_eq!(varint(&mut &[&[0xff; 9][..], &[2]].concat()[..]), None);
    }
}
