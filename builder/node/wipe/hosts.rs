//! `/etc/hosts` without the block that Kiln has written there (`overlays/etcd/etc/kiln/prepare.sh.hbs`).

use std::path::Path;

use kiln_wire::Name;

use crate::disk;
use crate::failure::Result;

const HOSTS: &str = "/etc/hosts";

/// Removes the cluster's block; what is left to do by hand is returned.
///
/// # Errors
/// Of the system. The file is the old one or the new one.
pub fn without(cluster: &Name) -> Result<Option<String>> {
    let path = Path::new(HOSTS);
    if !disk::is_there(path) {
        return Ok(None);
    }
    let mine = || format!("{HOSTS} with the block of {cluster}, if there is one");
    let Ok(bytes) = disk::read(path, false) else {
        return Ok(Some(format!("{}: it is not a file that only root can change", mine())));
    };
    match others(&bytes, cluster) {
        rest if rest.len() == bytes.len() => Ok(None),
        // Nothing is renamed over a mount, which is what containers have there.
        rest => Ok(disk::replace_like(path, &rest).err().map(|why| format!("{}: {why}", mine()))),
    }
}

/// All lines but the block's. A begin mark without an end is a line like others.
fn others(bytes: &[u8], cluster: &Name) -> Vec<u8> {
    let (begin, end) = (format!("# kiln: {cluster}"), format!("# kiln: end of {cluster}"));
    let (mut rest, mut held): (Vec<u8>, Option<Vec<u8>>) = (Vec::new(), None);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        match &mut held {
            _ if text == begin.as_bytes() => {
                rest.extend(held.replace(line.to_vec()).unwrap_or_default());
            }
            Some(_) if text == end.as_bytes() => held = None,
            Some(held) => held.extend(line),
            None => rest.extend(line),
        }
    }
    rest.extend(held.unwrap_or_default());
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_block_goes() {
        let name = Name::try_from("ha3".to_owned()).unwrap();
        let of = |text: &str| String::from_utf8(others(text.as_bytes(), &name)).unwrap();
        let block = "# kiln: ha3\n10.0.0.1 a\n# kiln: end of ha3\n";
        for (with, without) in [
            (format!("127.0.0.1 localhost\n{block}::1 x"), "127.0.0.1 localhost\n::1 x"),
            (block.to_owned(), ""),
            (block.trim_end().to_owned(), ""),
            ("# kiln: ha3\n10.0.0.1 a\n".to_owned(), "# kiln: ha3\n10.0.0.1 a\n"),
            (format!("# kiln: ha3\nx\n{block}y\n"), "# kiln: ha3\nx\ny\n"),
            ("# kiln: ha33\nx\n# kiln: end of ha3\n".to_owned(), "# kiln: ha33\nx\n# kiln: end of ha3\n"),
        ] {
            assert_eq!(of(&with), without, "{with}");
        }
    }
}
