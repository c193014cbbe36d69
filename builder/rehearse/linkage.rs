//! Whether a program needs this machine's libraries.

use std::io::Read;
use std::path::Path;

use crate::disk::Input;
use crate::elf::Elf;
use crate::failure::{Doing, Result};

/// Every linker puts the header and the program headers at the beginning of its output.
const HEAD_BYTES: u64 = 64 << 10;

/// Whether the file is a 64-bit ELF program that needs a dynamic linker.
pub fn is_dynamic(path: &Path) -> Result<bool> {
    let input = Input::open(path)?;
    let (size, mut head) = (input.size(), Vec::new());
    input.take(HEAD_BYTES).read_to_end(&mut head).doing(|| format!("reading {}", path.display()))?;
    Ok(asks_for_linker(&head, size))
}

/// The same for a file of `size` bytes with this beginning.
fn asks_for_linker(head: &[u8], size: u64) -> bool {
    Elf::parse(head, size).is_ok_and(|elf| elf.is_dynamic())
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
            file.splice(16..18, bytes(2, 2));
            file.splice(32..40, bytes(64, 8));
            file.splice(54..56, bytes(56, 2));
            file.splice(56..58, bytes(2, 2));
            file.extend(bytes(1, 4));
            file.resize(64 + 56, 0);
            file.extend(bytes(3, 4));
            file.resize(64 + 2 * 56, 0);
            let asks = |file: &[u8]| asks_for_linker(file, 64 + 2 * 56);
            assert!(asks(&file));
            assert!(!asks(&file[..110]), "truncated");
            file.splice(120..124, bytes(1, 4));
            assert!(!asks(&file));
        }
    }
}
