//! Debian packages: an `ar` archive of `debian-binary`, `control.tar.*` and `data.tar.*` in this order (deb(5)).
//! Parsed here without a crate: the format has one fixed header, and only three members matter.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use super::control::Control;
use super::limits::{Gauge, Limits};
use super::{EtcdProgram, archive};
use crate::failure::{Doing, Failure, Result};

/// The first bytes of every such file.
pub const MAGIC: &[u8] = b"!<arch>\n";

pub struct Package {
    pub control: Control,
    pub programs: BTreeMap<EtcdProgram, Vec<u8>>,
}

/// # Errors
/// `Exit::Untrusted` when it is not a package of etcd, and for what `archive::pick` refuses.
pub fn open(packed: &mut impl BufRead, gauge: &Gauge<'_>) -> Result<Package> {
    read(packed, gauge, MAGIC.len())?;
    let (name, size) = member(packed, gauge)?.unwrap_or_default();
    if name != "debian-binary" || size > Limits::MAX_CONTROL_BYTES {
        return Err(Failure::untrusted("it is an ar archive, but not a Debian package"));
    }
    let format = read(packed, gauge, size as usize)?;
    if !format.starts_with(b"2.") {
        return Err(Failure::untrusted("its format is newer than deb 2.0, which is the only one in use"));
    }
    pad(packed, gauge, size)?;
    let mut control = None;
    let mut programs = None;
    while let Some((name, size)) = member(packed, gauge)? {
        gauge.entry()?;
        let mut part = packed.by_ref().take(size);
        if name.starts_with("control.tar") && control.is_none() {
            control = Some(control_of(&mut part, gauge).doing(|| format!("reading {name}"))?);
        } else if name.starts_with("data.tar") && control.is_some() && programs.is_none() {
            programs = Some(programs_of(&mut part, gauge).doing(|| format!("reading {name}"))?);
        } else if name.starts_with('_') {
            // deb(5): members whose names begin with an underscore are ignored.
            std::io::copy(&mut part, &mut std::io::sink()).map_err(|error| gauge.explain(error))?;
        } else {
            return Err(Failure::untrusted(format!("its member {name:?} is out of order")));
        }
        if part.limit() > 0 {
            return Err(Failure::untrusted(format!("it is truncated in {name:?}; get the file again")));
        }
        pad(packed, gauge, size)?;
    }
    match (control, programs) {
        (Some(control), Some(programs)) => Ok(Package { control, programs }),
        _ => {
            Err(Failure::untrusted("it is truncated: control.tar or data.tar is missing; get the file again"))
        }
    }
}

fn control_of(part: &mut impl BufRead, gauge: &Gauge<'_>) -> Result<Control> {
    let mut files = archive::pick(part, gauge, Limits::MAX_CONTROL_BYTES, |path| {
        Ok((path == b"control").then_some("control"))
    })?;
    let control = files.remove("control");
    Control::parse(&control.ok_or_else(|| Failure::untrusted("it has no control file"))?)
}

fn programs_of(part: &mut impl BufRead, gauge: &Gauge<'_>) -> Result<BTreeMap<EtcdProgram, Vec<u8>>> {
    archive::pick(part, gauge, gauge.limits.program, |path| {
        let path = path.strip_suffix(b"/").unwrap_or(path);
        Ok(path.strip_prefix(b"usr/bin/").and_then(EtcdProgram::named))
    })
}

/// The next member's name and size in bytes; `None` at the end of the file.
fn member(packed: &mut impl BufRead, gauge: &Gauge<'_>) -> Result<Option<(String, u64)>> {
    if packed.fill_buf().map_err(|error| gauge.explain(error))?.is_empty() {
        return Ok(None);
    }
    let header = read(packed, gauge, 60)?;
    let broken =
        || Failure::untrusted("its ar header is damaged, or bytes follow its end; get the file again");
    let text = std::str::from_utf8(&header).ok().filter(|text| text.is_ascii()).ok_or_else(broken)?;
    // Name 16 bytes, date 12, owner 6, group 6, mode 8, size 10, all padded with spaces, then the mark.
    let (name, size, mark) = (text[..16].trim_end(), text[48..58].trim_end(), &text[58..]);
    if mark != "`\n" || name.is_empty() || !size.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(broken());
    }
    Ok(Some((name.trim_end_matches('/').to_owned(), size.parse().map_err(|_| broken())?)))
}

/// Members begin at even offsets.
fn pad(packed: &mut impl BufRead, gauge: &Gauge<'_>, size: u64) -> Result<()> {
    read(packed, gauge, (size % 2) as usize).map(drop)
}

/// Reads exactly this many bytes; for small parts only.
fn read(packed: &mut impl BufRead, gauge: &Gauge<'_>, count: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    packed.read_exact(&mut bytes).map_err(|error| gauge.explain(error))?;
    Ok(bytes)
}
