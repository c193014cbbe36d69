//! Release files made for a test: minimal programs, in archives that may be wrong in any way.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

pub const TOP: &str = "etcd-v3.5.16-linux-amd64";

/// A tar archive that is being made.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    /// A regular file.
    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.entry(path, b'0', bytes.len() as u64, bytes)
    }

    /// An entry of any kind, with a size that need not be true.
    pub fn entry(mut self, path: &str, kind: u8, size: u64, bytes: &[u8]) -> Self {
        self.0.extend(header(path, kind, size));
        self.0.extend(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// A file whose path is in an entry of its own, as GNU tar does it.
    pub fn gnu_long(self, path: &str, bytes: &[u8]) -> Self {
        let name = [path.as_bytes(), b"\0"].concat();
        self.entry("././@LongLink", b'L', name.len() as u64, &name).file("cut", bytes)
    }

    /// A POSIX extended header: one `key=value`.
    pub fn pax(self, kind: u8, key: &str, value: &str) -> Self {
        let rest = format!(" {key}={value}\n");
        let length = (rest.len()..).find(|all| all.to_string().len() + rest.len() == *all).unwrap();
        let record = format!("{length}{rest}");
        self.entry("PaxHeaders/x", kind, record.len() as u64, record.as_bytes())
    }

    /// A directory with everything that a release has, and the programs, named in order: etcd, etcdctl, etcdutl.
    pub fn release(programs: &[&[u8]]) -> Self {
        let mut tar = Tar::new().entry(&format!("{TOP}/"), b'5', 0, b"");
        for (name, bytes) in ["etcd", "etcdctl", "etcdutl"].iter().zip(programs) {
            tar = tar.file(&format!("{TOP}/{name}"), bytes);
        }
        tar.file(&format!("{TOP}/README.md"), b"# etcd\n")
    }

    /// Without the two blocks that end an archive.
    pub fn open_ended(self) -> Vec<u8> {
        self.0
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }

    pub fn gz(self) -> Vec<u8> {
        gz(&self.end())
    }
}

pub fn header(path: &str, kind: u8, size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_size(size);
    header.set_mode(0o755);
    header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/shadow");
    header.set_cksum();
    header.as_bytes().to_vec()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    gz_at(Compression::fast(), bytes)
}

/// Stored without compression, which takes no time.
pub fn gz_stored(bytes: &[u8]) -> Vec<u8> {
    gz_at(Compression::none(), bytes)
}

fn gz_at(level: Compression, bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// An `ar` archive of these members.
pub fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let size = content.len();
        writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`", 0, 0, 0, 100644).unwrap();
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

/// The members of an `ar` archive.
pub fn members(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut rest = &bytes[8..];
    let mut all = Vec::new();
    while !rest.is_empty() {
        let text =
            |range: std::ops::Range<usize>| std::str::from_utf8(&rest[range]).unwrap().trim().to_owned();
        let (name, size) = (text(0..16), text(48..58).parse::<usize>().unwrap());
        all.push((name, rest[60..60 + size].to_vec()));
        rest = &rest[60 + size.next_multiple_of(2)..];
    }
    all
}

pub fn control(half: &str, version: &str, arch: &str) -> Vec<u8> {
    let text = format!("Package: etcd-{half}\nSource: etcd\nVersion: {version}\nArchitecture: {arch}\n");
    Tar::new().entry("./", b'5', 0, b"").file("./control", text.as_bytes()).end()
}

/// A package with these programs.
pub fn deb(half: &str, version: &str, programs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut data = Tar::new().entry("./usr/bin/", b'5', 0, b"");
    for (name, bytes) in programs {
        data = data.file(&format!("./usr/bin/{name}"), bytes);
    }
    deb_of(&gz(&control(half, version, "amd64")), &data.gz())
}

pub fn deb_of(control: &[u8], data: &[u8]) -> Vec<u8> {
    ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", control), ("data.tar.gz", data)])
}

/// The smallest program that Kiln accepts as one of etcd's: an ELF header, a string, and a variable with it.
pub fn program(release: &str) -> Vec<u8> {
    program_for(62, release)
}

pub fn program_for(machine: u16, release: &str) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let mut bytes = vec![0; 0x200];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &2_u16.to_le_bytes());
    put(18, &machine.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &2_u16.to_le_bytes());
    for (at, flags, offset, size) in [(64, 4_u32, 0x100_u64, 64_u64), (120, 6, 0x180, 16)] {
        put(at, &1_u32.to_le_bytes());
        put(at + 4, &flags.to_le_bytes());
        put(at + 8, &offset.to_le_bytes());
        put(at + 16, &(BASE + offset).to_le_bytes());
        put(at + 32, &size.to_le_bytes());
    }
    put(0x106, release.as_bytes());
    put(0x180, &(BASE + 0x106).to_le_bytes());
    put(0x188, &(release.len() as u64).to_le_bytes());
    bytes
}

/// The machine types (elf(5)) of the architectures whose byte order is little-endian.
pub const AMD64: u16 = 62;
pub const ARM64: u16 = 183;

/// The smallest program that Kiln accepts as a kiln-node: an ELF header, and the mark with its version. `seed` tells
/// one from another.
pub fn node_program(machine: u16, version: &str, seed: u8) -> Vec<u8> {
    let mut bytes = program_for(machine, "0.0.0");
    bytes.push(seed);
    bytes.extend(format!("\x01kiln-node\x02{version}\x03").bytes());
    bytes
}

/// The same with a dynamic loader.
pub fn dynamic_node_program(machine: u16, version: &str) -> Vec<u8> {
    const PT_INTERP: u32 = 3;
    let loader = b"/lib64/ld-linux-x86-64.so.2\0";
    let mut bytes = node_program(machine, version, 0);
    // In place of the segment with the version variable, which only etcd needs.
    bytes[120..124].copy_from_slice(&PT_INTERP.to_le_bytes());
    bytes[152..160].copy_from_slice(&(loader.len() as u64).to_le_bytes());
    bytes[0x180..0x180 + loader.len()].copy_from_slice(loader);
    bytes
}
