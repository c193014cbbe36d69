//! The cases of tests/golden with real releases. The fast tier builds them with stand-ins.

use crate::support::golden::{cases, check};

/// A test for each directory.
macro_rules! golden {
    ($($test:ident $name:literal,)*) => {
        $(#[test]
        fn $test() {
            check($name);
        })*

        #[test]
        fn every_directory_has_its_test() {
            assert_eq!(cases(), [$($name),*]);
        }
    };
}

golden! {
    backup "backup",
    bond "bond",
    card_names "card-names",
    dhcp "dhcp",
    dual_stack "dual-stack",
    env_ipv6 "env-ipv6",
    files "files",
    flags_one_per_node "flags-one-per-node",
    ha3 "ha3",
    instance "instance",
    login "login",
    network "network",
    node_options "node-options",
    on_link "on-link",
    one_bond "one-bond",
    one_card "one-card",
    overlay "overlay",
    pki_one_per_node "pki-one-per-node",
    pki_two_authorities "pki-two-authorities",
    ready_ansible_events "ready-ansible-events",
    ready_ansible_k8s "ready-ansible-k8s",
    ready_chapter4 "ready-chapter4",
    ready_single "ready-single",
    ready_six "ready-six",
    renewal "renewal",
    service "service",
    subnets "subnets",
    two_cards "two-cards",
    vlan "vlan",
}
