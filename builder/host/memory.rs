//! Facts that this host records about more than one bundle, in `$XDG_STATE_HOME/kiln`: where the machines of a cluster
//! are, and whether guests run in KVM.
//!
//! All of it is optional. A missing or invalid file is ignored, and a host that cannot be written to records nothing.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk::{self, Kind};
use crate::etcd::ids::ClusterId;
use crate::failure::{Failure, Result};
use crate::values::{Mode, printable, steers};
use crate::xdg;

const MAX_FILE_BYTES: u64 = 64 << 10;

pub struct Memory {
    directory: Option<PathBuf>,
}

/// A recorded probe of KVM, and what it depends on.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvmAnswer {
    pub depends_on: KvmKey,
    /// The reason why no guest runs; `None` where they do.
    pub trouble: Option<String>,
}

/// What a probe's result depends on: it may be different for another kernel, user or QEMU.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KvmKey {
    /// From /proc/sys/kernel/random/boot_id (random(4)).
    pub boot: String,
    pub user: u32,
    pub qemu: PathBuf,
    /// The QEMU program's size in bytes, and its modification time in seconds and nanoseconds.
    pub size: u64,
    pub modified: (i64, i64),
}

impl Memory {
    pub fn of_user() -> Self {
        Self { directory: xdg::directory("XDG_STATE_HOME", ".local/state").ok().flatten() }
    }

    fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.directory.as_ref()?.join(name))
    }

    /// Files that another user could have written are ignored, because they name the directories of disks.
    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.file(name)?;
        let is_own = |path: &Path| {
            let found = disk::look(path).ok().flatten()?;
            (found.kind != Kind::Link && found.open_to_others(None).is_none()).then_some(())
        };
        is_own(self.directory.as_ref()?)?;
        is_own(file.parent()?)?;
        is_own(&file)?;
        disk::read(&file, MAX_FILE_BYTES).ok()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let Some(file) = self.file(name) else {
            return Err(Failure::io("there is no home; set HOME or XDG_STATE_HOME"));
        };
        if let Some(above) = file.parent() {
            disk::make_directories(above, Mode::SECRET_DIRECTORY)?;
        }
        disk::write_whole(&file, bytes, Mode::SECRET)
    }

    /// The directory of the machines of a cluster when they were last started.
    pub fn machines(&self, id: ClusterId) -> Option<PathBuf> {
        let text = String::from_utf8(self.read(&name(id))?).ok()?;
        let path = PathBuf::from(text.strip_suffix('\n')?);
        (path.is_absolute() && !text.trim_end().contains(steers)).then_some(path)
    }

    /// # Errors
    /// `Exit::Io` when it cannot be written down: then they are found only beside their bundle.
    pub fn note_machines(&self, id: ClusterId, directory: &Path) -> Result<()> {
        match directory.to_str() {
            _ if self.machines(id).as_deref() == Some(directory) => Ok(()),
            Some(text) => self.write(&name(id), format!("{text}\n").as_bytes()),
            None => Err(Failure::io(format!("{} is not UTF-8", directory.display()))),
        }
    }

    /// Removes the record of a cluster whose machines are gone.
    pub fn forget_machines(&self, id: ClusterId) {
        // A record that stays names a directory without machines.
        self.remove(&name(id));
    }

    fn remove(&self, name: &str) {
        if let Some(file) = self.file(name) {
            let _ = disk::remove_file(&file);
        }
    }

    /// Removes the recorded probe, which may be out of date, so that the next run probes again.
    pub fn forget_kvm(&self) {
        self.remove(KVM);
    }

    /// The recorded probe with this key, if there is one.
    pub fn kvm(&self, key: &KvmKey) -> Option<KvmAnswer> {
        let mut answer: KvmAnswer = serde_json::from_slice(&self.read(KVM)?).ok()?;
        answer.trouble = answer.trouble.map(|why| printable(&why).into());
        (answer.depends_on == *key).then_some(answer)
    }

    pub fn note_kvm(&self, answer: &KvmAnswer) {
        if let Ok(json) = serde_json::to_vec(answer) {
            // The next run finds out for itself.
            let _ = self.write(KVM, &json);
        }
    }
}

const KVM: &str = "kvm.json";

fn name(id: ClusterId) -> String {
    format!("machines/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Scratch;

    fn memory(scratch: &Scratch) -> Memory {
        Memory { directory: Some(scratch.path().join("kiln")) }
    }

    #[test]
    fn machines_are_found_by_the_id_of_their_cluster() {
        let scratch = Scratch::new("test").unwrap();
        let memory = memory(&scratch);
        let [one, two]: [ClusterId; 2] = ["e33f550df7f5d6bb", "1"].map(|id| id.parse().unwrap());
        assert_eq!(memory.machines(one), None);
        memory.note_machines(one, Path::new("/srv/.ha3.machines")).unwrap();
        memory.note_machines(two, Path::new("/srv/.b.machines")).unwrap();
        assert_eq!(memory.machines(one).as_deref(), Some(Path::new("/srv/.ha3.machines")));
        memory.note_machines(one, Path::new("/srv/c")).unwrap();
        assert_eq!(memory.machines(one).as_deref(), Some(Path::new("/srv/c")));
        memory.forget_machines(one);
        memory.forget_machines(one);
        assert_eq!((memory.machines(one), memory.machines(two).is_some()), (None, true));
        for bad in ["", "/srv/x", "x\n", "/srv\u{1b}[2J\n", "/a\n/b\n"] {
            disk::write_whole(&memory.file(&name(one)).unwrap(), bad.as_bytes(), Mode::SECRET).unwrap();
            assert_eq!(memory.machines(one), None, "{bad:?}");
        }
    }

    #[test]
    fn an_answer_of_kvm_is_for_one_boot_user_and_qemu() {
        let scratch = Scratch::new("test").unwrap();
        let memory = memory(&scratch);
        let key = |boot: &str, size: u64, user: u32| KvmKey {
            boot: boot.to_owned(),
            user,
            qemu: "/usr/bin/qemu-system-x86_64".into(),
            size,
            modified: (1, 2),
        };
        let answer = KvmAnswer { depends_on: key("a", 1, 0), trouble: Some("slow".to_owned()) };
        assert!(memory.kvm(&key("a", 1, 0)).is_none());
        memory.note_kvm(&answer);
        assert_eq!(memory.kvm(&key("a", 1, 0)), Some(answer));
        for other in [key("b", 1, 0), key("a", 2, 0), key("a", 1, 7)] {
            assert_eq!(memory.kvm(&other), None);
        }
        disk::write_whole(&memory.file(KVM).unwrap(), b"{\"trouble\": null}", Mode::SECRET).unwrap();
        assert_eq!(memory.kvm(&key("a", 1, 0)), None);
    }

    #[test]
    fn a_note_that_others_could_write_is_not_read() {
        let scratch = Scratch::new("test").unwrap();
        let memory = memory(&scratch);
        let id = "1".parse().unwrap();
        memory.note_machines(id, Path::new("/srv/x")).unwrap();
        let file = memory.file(&name(id)).unwrap();
        for path in [&file, file.parent().unwrap(), &scratch.path().join("kiln")] {
            let before = disk::look(path).unwrap().unwrap().mode;
            disk::set_mode(path, Mode::from_bits(0o777)).unwrap();
            assert_eq!(memory.machines(id), None, "{}", path.display());
            disk::set_mode(path, before).unwrap();
            assert!(memory.machines(id).is_some(), "{}", path.display());
        }
    }

    #[test]
    fn a_host_without_a_home_remembers_nothing() {
        let memory = Memory { directory: None };
        let id = "1".parse().unwrap();
        assert!(memory.note_machines(id, Path::new("/srv/x")).is_err());
        memory.forget_machines(id);
        assert_eq!(memory.machines(id), None);
    }
}
