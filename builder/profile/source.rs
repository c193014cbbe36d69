//! The bytes of a profile, and decoding them as text.

use std::path::{Path, PathBuf};

use super::mistake::Mistake;
use super::private::Lines;
use crate::values::{Digest, Setting};

/// The source of a profile.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name of the profile and its bundle: the file's name without `.toml`.
    pub name: String,
    /// As shown to the user.
    pub path: String,
    /// As read; not yet known to be UTF-8.
    pub bytes: Vec<u8>,
    /// The directory to which relative paths in the profile refer.
    pub directory: PathBuf,
    /// Whether messages about mistakes show its lines.
    pub lines: Lines,
    /// Its base profile, if it names one, or the reason why that cannot be read.
    pub base: Option<Result<Box<Source>, String>>,
    /// Keys that the command line sets: they take precedence over the files.
    pub settings: Vec<Setting>,
}

impl Source {
    /// A file that the user named, with its content.
    pub fn file(path: &Path, bytes: Vec<u8>) -> Self {
        Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.display().to_string(),
            bytes,
            // A relative path in the profile often begins with ./, too.
            directory: path
                .parent()
                .filter(|parent| *parent != Path::new("."))
                .map(Path::to_owned)
                .unwrap_or_default(),
            lines: Lines::Shown,
            base: None,
            settings: Vec::new(),
        }
    }

    /// Of its bytes, those of its base profiles, and the settings.
    pub fn digest(&self) -> Digest {
        let files = self.chain().map(|source| Digest::of(&source.bytes).to_string());
        let settings = self.settings.iter().map(|set| format!("{}={}", set.key(), set.value()));
        let digests: Vec<_> = files.chain(settings).collect();
        Digest::of(digests.join("\n").as_bytes())
    }

    /// The profile itself, its base, the base of that, and so on.
    pub(super) fn chain(&self) -> impl Iterator<Item = &Source> {
        std::iter::successors(Some(self), |source| match &source.base {
            Some(Ok(base)) => Some(base),
            _ => None,
        })
    }

    /// The reason why the last base profile cannot be read, if it cannot.
    pub(super) fn missing_base(&self) -> Option<&str> {
        self.chain().last()?.base.as_ref()?.as_ref().err().map(String::as_str)
    }
}

/// In bytes. A profile has at most nine nodes, so this is a hundred times more than it needs; the TOML parser uses up
/// to 500 times as much memory for the worst input (measured: 120 MB).
pub const MAX_PROFILE_BYTES: u64 = 256 * 1024;

/// The text, or the one mistake for bytes that are not text.
///
/// The text is returned in both cases, with U+FFFD for invalid UTF-8, so that the place can be shown.
pub(super) fn decode(bytes: &[u8]) -> (String, Option<Mistake>) {
    if bytes.len() as u64 > MAX_PROFILE_BYTES {
        let reason = format!("the file has {} bytes; a profile has at most {MAX_PROFILE_BYTES}", bytes.len());
        return (String::new(), Some(Mistake::new(None, reason)));
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let wrong = match std::str::from_utf8(bytes) {
        // The bytes before that are valid.
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or_default();
            let span = at..at + '\u{fffd}'.len_utf8();
            let reason = format!("byte {at} of the file, 0x{byte:02x}, is not UTF-8");
            Some(Mistake::new(span, reason).help("save the file as UTF-8"))
        }
        Ok(text) if text.starts_with('\u{feff}') => Some(
            Mistake::new(0..'\u{feff}'.len_utf8(), "the file begins with a byte order mark")
                .help("save it as UTF-8 without one (BOM)"),
        ),
        Ok(text) => text.find('\0').map(|at| {
            Mistake::new(at..at + 1, format!("byte {at} of the file is NUL"))
                .help("the file is damaged or not text; restore it from a good copy")
        }),
    };
    (text, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_its_bundle_and_its_directory() {
        let source = Source::file(Path::new("profiles/ha3.toml"), Vec::new());
        assert_eq!((source.name.as_str(), source.directory.as_path()), ("ha3", Path::new("profiles")));
    }

    #[test]
    fn what_is_too_large_is_not_looked_at() {
        let (text, wrong) = decode(&vec![b'a'; MAX_PROFILE_BYTES as usize + 1]);
        assert!(text.is_empty() && wrong.is_some());
        assert!(decode(&vec![b'a'; MAX_PROFILE_BYTES as usize]).1.is_none());
    }
}
