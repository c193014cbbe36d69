//! Clocks that are wrong, by the dates of policies, issuers and certificates.

use std::fs;

use super::machine::Machine;

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_clock_before_the_build_changes_nothing() {
    let machine = Machine::new();
    machine.renewed();
    machine.policy(|policy| policy["built"] = (now() + 86_400).into());
    let before = (machine.live(), machine.files());
    let (code, said) = machine.renew(&[]);
    assert!(code == 1 && said.contains("set the clock"), "{code}: {said}");
    assert!(said.starts_with("<4>kiln: n1 has not renewed its certificates: the clock shows 20"), "{said}");
    assert!(said.contains("Z, but this node was built at 20"), "{said}");
    assert_eq!((machine.live(), machine.files()), before, "{said}");
    // Nor does it make a first one.
    fs::remove_file(machine.at("var/pki/live")).unwrap();
    let (code, said) = machine.renew(&[]);
    assert!(
        code == 1 && said.contains("<3>kiln: n1 has no certificates that etcd can use"),
        "{code}: {said}"
    );
    assert_eq!(machine.names(), ["1", "lock"]);
    for built in [u64::MAX, u64::MAX - 1, 1 << 60] {
        machine.policy(|policy| policy["built"] = built.into());
        let (code, said) = machine.renew(&[]);
        assert!(code == 1 && said.contains("set the clock"), "{code}: {said}");
    }
}

/// Before a start of etcd, which waits as well.
#[test]
fn a_clock_that_is_late_is_waited_for() {
    let machine = Machine::new();
    machine.policy(|policy| policy["built"] = (now() + 3).into());
    let (code, said) = machine.renew(&["--ensure"]);
    let lines: Vec<_> = said.lines().collect();
    assert!(
        code == 0 && lines[0].starts_with("<4>kiln: n1 waits for the clock: it shows 20"),
        "{code}: {said}"
    );
    assert!(
        lines[1].starts_with("<6>kiln: n1 has the time: 20") && said.contains("has new certificates"),
        "{said}"
    );
}

#[test]
fn issuers_are_used_in_their_time_alone() {
    for (days, why) in [
        (2..1000, "but the node's own CAs are valid from 20"),
        (-1000..-2, "and the node's own CAs ended at 20"),
        // Two thirds over, and never used.
        (-1000..400, "and this node has never used them; set the clock"),
    ] {
        let machine = Machine::with(days);
        machine.remembers();
        for options in [&[][..], &["--ensure"]] {
            let (code, said) = machine.renew(options);
            assert!(code == 1 && said.contains(why), "{code}: {said}");
        }
        assert!(machine.status()["error"].as_str().unwrap().contains(why));
        assert_eq!(machine.names(), ["lock"]);
    }
}

/// Such a node has used them, and has forgotten it with its last start.
#[test]
fn a_node_in_memory_makes_certificates_until_its_issuers_end() {
    let machine = Machine::with(-1000..400);
    machine.renewed();
    assert_eq!(machine.live(), "1");
}

#[test]
fn what_kiln_has_issued_is_used_until_it_is_due() {
    let machine = Machine::new();
    machine.generation("etc/first", &(-10..355));
    machine.point("/mnt/etc/first");
    let (code, said) = machine.renew(&[]);
    assert!(code == 0 && said.is_empty(), "{code}: {said}");
    assert_eq!(machine.names(), ["live", "lock"]);
    machine.generation("etc/first", &(-300..65));
    machine.renewed();
    assert_eq!(machine.names(), ["1", "live", "lock"]);
    // The time of the CAs is mostly over: what is valid now says that the clock is right, and nothing else does.
    for (first, is_right) in [(-300..65, true), (-400..-35, false)] {
        let late = Machine::with(-1000..400);
        late.remembers();
        late.generation("etc/first", &first);
        late.point("/mnt/etc/first");
        let (code, said) = late.renew(&[]);
        assert_eq!(code == 0 && said.contains("has new certificates"), is_right, "{code}: {said}");
        assert_eq!(code == 1 && said.contains("this node has never used them"), !is_right, "{code}: {said}");
    }
}

#[test]
fn certificates_of_the_future_are_replaced_by_the_newest_that_are_valid() {
    let machine = Machine::new();
    machine.renewed();
    machine.another_subject("a");
    machine.generation("var/pki/2", &(-5..100));
    machine.generation("var/pki/3", &(-80..10));
    machine.generation("var/pki/4", &(5..100));
    machine.point("4");
    let (code, said) = machine.renew(&[]);
    assert!(code == 0 && said.contains("<4>kiln: n1 uses an earlier generation"), "{code}: {said}");
    assert_eq!(machine.live(), "2", "3 is due, and 1 is older");
    // The clock was wrong, and all that there is comes from then.
    for number in ["1", "2", "3"] {
        let _ = fs::remove_dir_all(machine.at("var/pki").join(number));
    }
    machine.point("4");
    let (code, said) = machine.renew(&["--ensure"]);
    assert!(code == 0 && said.contains("the last ones were not valid yet"), "{code}: {said}");
    assert_eq!(machine.live(), "5");
}

/// A machine that was off for longer than its certificates lived.
#[test]
fn expired_certificates_are_replaced_before_etcd_starts() {
    let machine = Machine::new();
    machine.generation("etc/first", &(-9..-2));
    machine.point("/mnt/etc/first");
    let (code, said) = machine.renew(&["--ensure"]);
    assert!(code == 0 && said.contains("the last ones had expired"), "{code}: {said}");
    machine.etcd(&super::machine::PLAIN);
    machine.serves();
}

#[test]
fn alarms_are_early_and_loud() {
    // Days that are over of 90, the level, and whether it is overdue.
    for (over, level, is_overdue) in [(61, "<4>", false), (63, "<4>", true), (76, "<3>", true)] {
        let machine = Machine::new();
        machine.generation("etc/first", &(-over..90 - over));
        // Not the first use.
        machine.generation("var/pki/1", &(-over..90 - over));
        machine.point("1");
        machine.shell("chmod 0711 /mnt/var/pki");
        fs::write(machine.at("etc/issuer/peer-key.pem"), "").unwrap();
        machine.keeps_what_it_has("etc/issuer/peer-key.pem");
        let (_, said) = machine.renew(&[]);
        assert!(
            said.starts_with(&format!("{level}kiln: n1 has not renewed its certificates: ")),
            "{over}: {said}"
        );
        let words = "their renewal is overdue since 20";
        assert_eq!(said.contains(words), is_overdue, "{over}: {said}");
        assert_eq!(machine.status()["overdue"], is_overdue, "{over}");
        let metrics = machine.read("run/kiln/renew.prom");
        assert!(
            metrics.contains(&format!(
                "\nkiln_renew_overdue{{cluster=\"ha3\",node=\"n1\"}} {}\n",
                u8::from(is_overdue)
            )),
            "{metrics}"
        );
        assert!(metrics.contains("\nkiln_renew_good{cluster=\"ha3\",node=\"n1\"} 0\n"), "{metrics}");
    }
}

#[test]
fn the_end_of_the_issuers_is_said_in_time() {
    let machine = Machine::with(-1000..60);
    machine.policy(|policy| policy["life"] = (90 * 86_400).into());
    machine.generation("var/pki/1", &(-40..50));
    machine.point("1");
    let (code, said) = machine.renew(&[]);
    let words = "<4>kiln: n1 cannot renew its certificates beyond 20";
    assert!(code == 0 && said.starts_with(words) && said.contains("build this node again"), "{code}: {said}");
    machine.generation("var/pki/1", &(-150..60));
    machine.keeps_what_it_has("the node's own CAs end at 20");
}
