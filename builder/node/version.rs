//! The version, in a form in which Kiln finds it in the program.

/// What `kiln artifacts add` and `kiln build` look for: the name, the version and the end of it, between control
/// characters, so that no message of any program has it. `builder/artifact/node.rs` reads it.
#[used]
static MARKER: [u8; MARKED.len()] = {
    let mut marker = [0; MARKED.len()];
    marker.copy_from_slice(MARKED.as_bytes());
    marker
};

const MARKED: &str = concat!("\x01kiln-node\x02", env!("CARGO_PKG_VERSION"), "\x03");

/// The version of the program. It is read out of the marker, so that a linker, which leaves out what nothing uses,
/// keeps it.
pub fn version() -> &'static str {
    let marker = std::hint::black_box(&MARKER);
    let end = marker.len() - 1;
    let start = end - env!("CARGO_PKG_VERSION").len();
    std::str::from_utf8(&marker[start..end]).unwrap_or_default()
}
