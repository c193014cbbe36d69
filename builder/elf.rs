//! The headers of 64-bit ELF programs (elf(5)), as far as Kiln needs them.

const ET_EXEC: u16 = 2;
pub const ET_DYN: u16 = 3;
pub const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;
pub const PF_W: u32 = 2;

/// Why a file is not a 64-bit ELF program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotElf {
    /// It is not an ELF file, or is a 32-bit one.
    Other,
    /// An object file or a core dump.
    NoProgram,
    Damaged,
}

/// A 64-bit ELF program.
pub struct Elf<'b> {
    bytes: &'b [u8],
    pub big_endian: bool,
    /// `ET_EXEC` or `ET_DYN`.
    pub kind: u16,
    pub machine: u16,
    pub segments: Vec<Segment>,
}

/// A program header.
#[derive(Clone, Copy)]
pub struct Segment {
    /// `PT_LOAD` and others.
    pub kind: u32,
    pub flags: u32,
    /// Where it is in the file, in bytes.
    pub offset: u64,
    /// Where it is in memory.
    pub address: u64,
    /// In the file, in bytes.
    pub size: u64,
}

impl<'b> Elf<'b> {
    /// Reads the headers of a file of `size` bytes that begins with `bytes`.
    ///
    /// # Errors
    /// The reason why it is not such a program.
    pub fn parse(bytes: &'b [u8], size: u64) -> Result<Self, NotElf> {
        // Class 64, and a valid byte order.
        if !bytes.starts_with(b"\x7fELF\x02") || !matches!(bytes.get(5), Some(1 | 2)) {
            return Err(NotElf::Other);
        }
        let mut elf = Self { bytes, big_endian: bytes[5] == 2, kind: 0, machine: 0, segments: Vec::new() };
        elf.kind = elf.u16(16).ok_or(NotElf::Damaged)?;
        elf.machine = elf.u16(18).ok_or(NotElf::Damaged)?;
        if !matches!(elf.kind, ET_EXEC | ET_DYN) {
            return Err(NotElf::NoProgram);
        }
        elf.segments = elf.read_segments(size).ok_or(NotElf::Damaged)?;
        // Loaded segments do not overlap. If they claim to, searching them could take forever.
        let loaded = elf.segments.iter().filter(|segment| segment.kind == PT_LOAD);
        if loaded.map(|segment| segment.size).sum::<u64>() > size {
            return Err(NotElf::Damaged);
        }
        Ok(elf)
    }

    fn read_segments(&self, file: u64) -> Option<Vec<Segment>> {
        let (start, size, count) = (self.u64(32)?, self.u16(54)?, self.u16(56)?);
        // A Go program has about ten.
        if size != 56 || count == 0 || count > 128 {
            return None;
        }
        (0..u64::from(count))
            .map(|index| {
                let at = start.checked_add(index * 56)?;
                let segment = Segment {
                    kind: self.u32(at)?,
                    flags: self.u32(at.checked_add(4)?)?,
                    offset: self.u64(at.checked_add(8)?)?,
                    address: self.u64(at.checked_add(16)?)?,
                    size: self.u64(at.checked_add(32)?)?,
                };
                // Every segment is within the file; a truncated program is refused here.
                segment.offset.checked_add(segment.size).filter(|end| *end <= file).map(|_| segment)
            })
            .collect()
    }

    /// Whether it names an interpreter, which is a dynamic linker.
    pub fn is_dynamic(&self) -> bool {
        self.segments.iter().any(|segment| segment.kind == PT_INTERP)
    }

    /// The path of the dynamic linker, which a static program does not have.
    ///
    /// # Errors
    /// [`NotElf::Damaged`] when it is not an absolute path, or not in the bytes.
    pub fn interpreter(&self) -> Result<Option<String>, NotElf> {
        let Some(segment) = self.segments.iter().find(|segment| segment.kind == PT_INTERP) else {
            return Ok(None);
        };
        let bytes = self.slice(segment.offset, segment.size).ok_or(NotElf::Damaged)?;
        let path = bytes.strip_suffix(b"\0").and_then(|path| std::str::from_utf8(path).ok());
        match path
            .filter(|path| path.len() < 4096 && path.starts_with('/') && !path.contains(char::is_control))
        {
            Some(path) => Ok(Some(path.to_owned())),
            None => Err(NotElf::Damaged),
        }
    }

    /// The bytes that are loaded to an address.
    pub fn at_address(&self, address: u64, length: u64) -> Option<&'b [u8]> {
        let end = address.checked_add(length)?;
        let holds = |s: &&Segment| {
            s.kind == PT_LOAD
                && s.address <= address
                && s.address.checked_add(s.size).is_some_and(|e| end <= e)
        };
        let segment = self.segments.iter().find(holds)?;
        self.slice(segment.offset + (address - segment.address), length)
    }

    fn slice(&self, offset: u64, size: u64) -> Option<&'b [u8]> {
        let start = usize::try_from(offset).ok()?;
        self.bytes.get(start..start.checked_add(usize::try_from(size).ok()?)?)
    }

    fn number<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let mut bytes: [u8; N] = self.slice(offset, N as u64)?.try_into().ok()?;
        if self.big_endian {
            bytes.reverse();
        }
        Some(bytes)
    }

    fn u16(&self, offset: u64) -> Option<u16> {
        self.number(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: u64) -> Option<u32> {
        self.number(offset).map(u32::from_le_bytes)
    }

    pub fn u64(&self, offset: u64) -> Option<u64> {
        self.number(offset).map(u64::from_le_bytes)
    }
}
