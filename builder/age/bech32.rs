//! Bech32 (BIP 173), without its limit of 90 characters, as age writes keys.

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// The 32 bytes of a text with this human-readable part, all of it in lower case.
pub fn decode(human: &str, text: &str) -> Option<[u8; 32]> {
    // 52 characters of 5 bits for 256 bits, and 6 of the checksum.
    let data = text.strip_prefix(human)?.strip_prefix('1').filter(|data| data.len() == 58)?;
    let position =
        |byte| ALPHABET.iter().position(|letter| *letter == byte).and_then(|at| u8::try_from(at).ok());
    let values: Vec<u8> = data.bytes().map(position).collect::<Option<_>>()?;
    let upper = human.bytes().map(|byte| byte >> 5);
    let lower = human.bytes().map(|byte| byte & 31);
    let all = upper.chain([0]).chain(lower).chain(values.iter().copied());
    if checksum(all) != 1 {
        return None;
    }
    let mut bytes = [0; 32];
    let (mut held, mut bits, mut at) = (0_u32, 0, 0);
    for value in &values[..52] {
        held = (held << 5) | u32::from(*value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes[at] = u8::try_from(held >> bits & 0xff).ok()?;
            at += 1;
        }
    }
    // What is left over is zero, or there would be several texts for a key.
    (held & ((1 << bits) - 1) == 0).then_some(bytes)
}

fn checksum(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let next = ((sum & 0x01ff_ffff) << 5) ^ u32::from(value);
        let of = |(bit, part): (usize, &u32)| if top >> bit & 1 == 1 { *part } else { 0 };
        GENERATOR.iter().enumerate().map(of).fold(next, |sum, part| sum ^ part)
    })
}
