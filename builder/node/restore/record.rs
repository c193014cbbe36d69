//! `kiln-cluster`, which goes where the data goes: the cluster that it has served, and from the second generation on a
//! line with the generation. And the journal of a switch.

use std::fmt;

use kiln_wire::Id;

/// What the data directory has served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The cluster.
    pub cluster: Id,
    /// `None`: the first.
    pub restored: Option<Restored>,
}

/// Which restore made it: of a generation from 2 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// From 2.
    pub generation: u32,
    /// `Restore::restore`.
    pub restore: Id,
}

/// A switch that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journal {
    /// What it makes.
    pub restored: Restored,
    /// The generation that the data before is kept as.
    pub before: u32,
}

impl Record {
    /// From 1.
    pub fn generation(&self) -> u32 {
        self.restored.map_or(1, |restored| restored.generation)
    }

    /// `None`: Kiln wrote no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let cluster = Id::of_etcd(lines.next()?)?;
        let restored = match lines.next() {
            Some(line) => Some(Restored::parse(line)?),
            None => None,
        };
        lines.next().is_none().then_some(Self { cluster, restored })
    }
}

impl Restored {
    fn parse(line: &str) -> Option<Self> {
        let (generation, restore) = line.strip_prefix("generation ")?.split_once(' ')?;
        let generation = number(generation).filter(|number| *number >= 2)?;
        Some(Self { generation, restore: restore.parse().ok()? })
    }
}

impl Journal {
    /// `None`: this program wrote no such text.
    pub fn parse(text: &str) -> Option<Self> {
        let (first, second) = text.strip_suffix('\n')?.split_once('\n')?;
        let before = number(second.strip_prefix("before ")?).filter(|number| *number >= 1)?;
        Some(Self { restored: Restored::parse(first)?, before })
    }
}

/// As it is written: `7`, not `07` or `+7`.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number: &u32| number.to_string() == text)
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As etcdctl prints it, and as the guard compares it.
        writeln!(f, "{:x}", self.cluster)?;
        self.restored.map_or(Ok(()), |restored| writeln!(f, "{restored}"))
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "generation {} {}", self.generation, self.restore)
    }
}

impl fmt::Display for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nbefore {}\n", self.restored, self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTORED: Restored = Restored { generation: 2, restore: Id(0xab) };

    #[test]
    fn records_come_back_as_they_were_written() {
        for restored in [None, Some(RESTORED), Some(Restored { generation: u32::MAX, restore: Id(0) })] {
            let record = Record { cluster: Id(7), restored };
            assert_eq!(Record::parse(&record.to_string()), Some(record));
        }
        // As the shell of the first generation writes it.
        let first = Record::parse("00aa000000000001\n").unwrap();
        assert_eq!((first.cluster, first.generation()), (Id(0xaa_0000_0000_0001), 1));
        let second = "aa000000000002\ngeneration 2 0123456789abcdef\n";
        assert_eq!(Record::parse(second).unwrap().to_string(), second);
        assert_eq!(Record::parse(&format!("00{second}")).unwrap().to_string(), second);
    }

    #[test]
    fn other_texts_are_no_records() {
        let id = "00aa000000000001";
        for bad in [
            "".to_owned(),
            "\n".to_owned(),
            "00AA000000000001\n".to_owned(),
            format!("{id}{id}\n"),
            format!("{id}\n\n"),
            format!("{id}\ngeneration 2\n"),
            format!("{id}\ngeneration 1 {id}\n"),
            format!("{id}\ngeneration 02 {id}\n"),
            format!("{id}\ngeneration +2 {id}\n"),
            format!("{id}\ngeneration 4294967296 {id}\n"),
            format!("{id}\ngeneration 2 {id} \n"),
            format!("{id}\ngeneration 2 {id}\nmore\n"),
        ] {
            assert_eq!(Record::parse(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_journal_is_whole_or_none() {
        let journal = Journal { restored: RESTORED, before: 1 };
        let text = journal.to_string();
        assert_eq!(Journal::parse(&text), Some(journal));
        for end in 0..text.len() {
            assert_eq!(Journal::parse(&text[..end]), None, "{end}");
        }
        assert_eq!(Journal::parse(&text.replace("before 1", "before 0")), None);
    }
}
