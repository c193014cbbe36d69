use super::*;
use crate::{Id, Name, PublicKey, SCHEMA};

fn key(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
}

fn public(key: &Ed25519KeyPair) -> PublicKey {
    PublicKey(ring::signature::KeyPair::public_key(key).as_ref().try_into().unwrap())
}

fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

fn signers() -> Vec<Signer> {
    [("cp-a", 1), ("cp-b", 2)].map(|(node, seed)| Signer { node: name(node), key: public(&key(seed)) }).into()
}

fn record(node: &str, taken: u64, revision: u64) -> Record {
    Record {
        schema: SCHEMA,
        cluster: name("ha3"),
        cluster_id: Id(7),
        generation: 1,
        node: name(node),
        member_id: Id(8),
        taken,
        revision,
        etcd: "3.5.16".to_owned().try_into().unwrap(),
        name: SnapshotName::new(name("ha3"), taken, revision, name(node)).unwrap(),
        size: 20_800,
        sha256: Digest::of(b"a"),
        plain_size: 20_512,
        plain_sha256: Digest::of(b"b"),
        hash: 4_000_000_000,
        recipients: vec!["age1x".to_owned().try_into().unwrap()],
    }
}

#[test]
fn a_record_comes_back_as_it_was_signed() {
    let record = record("cp-a", 1_764_000_000, 42);
    let bytes = seal(&record, &key(1)).unwrap();
    assert_eq!(open(&bytes, &record.name, &signers()), Ok(record));
}

/// The text of the example in the DSSE specification, with the type of records.
#[test]
fn what_is_signed_has_the_form_of_dsse() {
    let text = String::from_utf8(signed(b"hello world")).unwrap();
    assert_eq!(text, "DSSEv1 34 application/vnd.kiln.snapshot+json 11 hello world");
}

#[test]
fn no_bit_of_it_can_be_changed() {
    let record = record("cp-a", 1_764_000_000, 42);
    let bytes = seal(&record, &key(1)).unwrap();
    for at in 0..bytes.len() - 1 {
        for bit in 0..8 {
            let mut other = bytes.clone();
            other[at] ^= 1 << bit;
            if let Ok(found) = open(&other, &record.name, &signers()) {
                panic!("{at} {bit}: {found:?}");
            }
        }
        assert!(open(&bytes[..at], &record.name, &signers()).is_err());
    }
}

#[test]
fn each_lie_has_its_reason() {
    let own = record("cp-a", 1_764_000_000, 42);
    let sealed = |record: &Record, seed| seal(record, &key(seed)).unwrap();
    let ask = |bytes: &[u8]| open(bytes, &own.name, &signers()).unwrap_err();
    assert_eq!(ask(&sealed(&own, 3)), Unproven::Stranger(public(&key(3)).id()));
    assert_eq!(ask(&sealed(&own, 2)), Unproven::OtherNode);
    let other = record("cp-a", 1_764_000_000, 43);
    assert_eq!(ask(&sealed(&other, 1)), Unproven::OtherName);
    let good = String::from_utf8(sealed(&own, 1)).unwrap();
    let id = |seed| public(&key(seed)).id().to_string();
    assert_eq!(ask(good.replace(&id(1), &id(2)).as_bytes()), Unproven::Forged);
    let mut long = good.clone().into_bytes();
    long.resize(LONGEST_ENVELOPE + 1, b' ');
    assert_eq!(ask(&long), Unproven::Long);
    for (from, to) in [
        ("kiln.snapshot+json", "in-toto+json"),
        ("\"signatures\":[", "\"signatures\":[],\"x\":["),
        ("{\"payloadType\"", "{\"payload\":\"\",\"payloadType\""),
        ("\"payload\":\"", "\"payload\":\"="),
        ("\"sig\":\"", "\"sig\":\"!"),
    ] {
        assert!(good.contains(from), "{from}");
        let said = ask(good.replacen(from, to, 1).as_bytes());
        assert!(matches!(said, Unproven::Form(_)), "{to}: {said:?}");
    }
}

#[test]
fn a_record_that_cannot_be_is_not_signed() {
    let good = record("cp-a", 1_764_000_000, 42);
    for bad in [
        Record { cluster: name("ha4"), ..good.clone() },
        Record { node: name("cp-b"), ..good.clone() },
        Record { taken: 1_764_000_001, ..good.clone() },
        Record { revision: 41, ..good.clone() },
        Record { plain_size: 20_480, ..good.clone() },
        Record { plain_size: 32, ..good.clone() },
        Record { size: 20_512, ..good.clone() },
    ] {
        assert!(matches!(seal(&bad, &key(1)), Err(Unproven::Content(_))), "{bad:?}");
    }
}

/// Each part of two records, of two snapshots, exchanged.
#[test]
fn parts_of_two_envelopes_make_no_third() {
    let [one, two] = [record("cp-a", 1_764_000_000, 42), record("cp-a", 1_764_001_800, 43)];
    let parse =
        |record: &Record| -> Envelope { serde_json::from_slice(&seal(record, &key(1)).unwrap()).unwrap() };
    let mixed = Envelope { payload: parse(&two).payload, ..parse(&one) };
    let mixed = serde_json::to_vec(&mixed).unwrap();
    for name in [&one.name, &two.name] {
        assert_eq!(open(&mixed, name, &signers()), Err(Unproven::Forged));
    }
}
