//! The one question about a program that decides whether it needs this machine's libraries.

use std::io::Read;
use std::path::Path;

use crate::disk::Input;
use crate::failure::{Doing, Result};

/// The header and the program headers lie at the beginning of every linker's output.
const HEAD: u64 = 64 << 10;

/// `p_type` of the segment that names the dynamic linker (elf(5)).
const PT_INTERP: u64 = 3;

/// Whether the file is a 64-bit ELF program that asks for a dynamic linker.
pub fn is_dynamic(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    Input::open(path)?.take(HEAD).read_to_end(&mut head).doing(|| format!("reading {}", path.display()))?;
    Ok(asks_for_linker(&head).unwrap_or(false))
}

/// `None` when it is no 64-bit ELF file, or is cut short.
fn asks_for_linker(file: &[u8]) -> Option<bool> {
    if file.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let little = *file.get(5)? == 1;
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = file.get(at..at.checked_add(size)?)?;
        let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if little { bytes.iter().rev().fold(0, join) } else { bytes.iter().fold(0, join) })
    };
    // e_phoff, e_phentsize and e_phnum of Elf64_Ehdr.
    let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    for index in 0..count {
        let at = usize::try_from(start.checked_add(index * size)?).ok()?;
        if number(at, 4)? == PT_INTERP {
            return Some(true);
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_programs_and_other_files() {
        assert_eq!(is_dynamic(Path::new("/bin/sh")).ok(), Some(true));
        assert_eq!(is_dynamic(Path::new("/etc/passwd")).ok(), Some(false));
    }

    #[test]
    fn both_byte_orders_and_short_files() {
        for little in [true, false] {
            let bytes = |value: u64, size: usize| {
                let all = if little { value.to_le_bytes() } else { value.to_be_bytes() };
                if little { all[..size].to_vec() } else { all[8 - size..].to_vec() }
            };
            let mut file = b"\x7fELF\x02".to_vec();
            file.push(if little { 1 } else { 2 });
            file.resize(64, 0);
            file.splice(32..40, bytes(64, 8));
            file.splice(54..56, bytes(56, 2));
            file.splice(56..58, bytes(2, 2));
            file.extend(bytes(1, 4));
            file.resize(64 + 56, 0);
            file.extend(bytes(3, 4));
            assert_eq!(asks_for_linker(&file), Some(true));
            assert_eq!(asks_for_linker(&file[..110]), None, "cut short");
            file.splice(120..124, bytes(1, 4));
            assert_eq!(asks_for_linker(&file), Some(false));
        }
    }
}
