//! Files of other users, which only root can make.

use std::os::unix::fs::chown;
use std::path::Path;

use kiln::failure::Exit;
use kiln::pki::Keystore;

use crate::support::{self, Workshop, ha3_with, refused};

#[test]
fn a_key_of_another_user_is_refused() {
    support::needs_root();
    let work = Workshop::new();
    work.keystore("ha3");
    let shared = "[bundle]\nbinaries = \"shared\"\n\n[etcd]\nversion = \"3.5.16\"\n\n# Client certificates";
    work.file("ha3.toml", ha3_with(&[("# Client certificates", shared)]));
    let bundle = work.build("./ha3.toml");
    for path in ["client/etcdctl-key.pem", "network.xml"] {
        chown(bundle.join(path), Some(65_534), None).unwrap();
    }
    let said = refused(&mut work.kiln(["check", "out/ha3"]), 1);
    assert!(
        said.contains("client/etcdctl-key.pem belongs to UID 65534, which is neither you nor root"),
        "{said}"
    );
    assert!(!said.contains("network.xml"), "{said}");
}

#[test]
fn a_keystore_of_another_user_is_refused() {
    support::needs_root();
    let work = Workshop::new();
    work.keystore("ha3");
    let dir = work.path().join("keystore/ha3");
    let open = || Keystore::open(&dir, &"ha3".parse().unwrap());
    let give = |path: &Path, owner| chown(path, Some(owner), None).unwrap();
    for path in [dir.clone(), dir.join("secret"), dir.join("keystore.toml")] {
        give(&path, 64_999);
        let failure = open().err().unwrap();
        assert_eq!(failure.exit(), Exit::Unsafe, "{failure}");
        for advice in ["remove", "delete", "empty", "overwrite"] {
            assert!(!failure.to_string().contains(advice), "{failure}");
        }
        assert!(failure.to_string().contains("belongs to another user (UID 64999)"), "{failure}");
        give(&path, 0);
    }
    assert!(open().is_ok());
}
