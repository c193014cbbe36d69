//! The profiles that are built into the program.

const PROFILES: [(&str, &str); 6] = [
    ("ansible-events", include_str!("../../profiles/ansible-events.toml")),
    ("ansible-k8s", include_str!("../../profiles/ansible-k8s.toml")),
    ("chapter4", include_str!("../../profiles/chapter4.toml")),
    ("ha3", include_str!("../../profiles/ha3.toml")),
    ("single", include_str!("../../profiles/single.toml")),
    ("six", include_str!("../../profiles/six.toml")),
];

/// The text of a built-in profile.
pub fn embedded(name: &str) -> Option<&'static str> {
    PROFILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The names of the built-in profiles, sorted.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::Release;
    use crate::profile::{Certificates, ConfigStyle, Source, read};
    use crate::values::{Arch, example_carriers};

    #[test]
    fn every_ready_profile_is_right_and_its_warnings_are_known() {
        let available = [(Release::new(3, 5, 33), Arch::Amd64), (Release::new(3, 5, 12), Arch::Amd64)];
        for name in names() {
            let text = embedded(name).unwrap();
            let path = format!("profiles/{name}.toml");
            let source = Source::file(path.as_ref(), text.into());
            let (profile, warnings) = read(&source, &available, &example_carriers())
                .unwrap_or_else(|m| panic!("{}", m.render(false)));
            assert_eq!(profile.name.as_str(), name);
            // An old release; an even size, and two hosts that stop the cluster.
            let known = match name {
                "chapter4" => 1,
                "six" => 3,
                _ => 0,
            };
            assert_eq!(warnings.len(), known, "{name}: {warnings:?}");
            let pinned = name == "chapter4";
            let release = if pinned { Release::new(3, 5, 12) } else { Release::new(3, 5, 33) };
            assert_eq!((profile.etcd.release, profile.etcd.pinned), (release, pinned), "{name}");
        }
        assert!(names().is_sorted());
    }

    #[test]
    fn the_single_node_keeps_what_it_replaces() {
        let source = Source::file("single.toml".as_ref(), embedded("single").unwrap().into());
        let (profile, _) =
            read(&source, &[(Release::new(3, 5, 33), Arch::Amd64)], &example_carriers()).unwrap();
        assert_eq!(profile.etcd.config_style, ConfigStyle::Flags);
        assert_eq!(profile.pki.certificates, Certificates::OnePerNode);
        assert_eq!(profile.pki.directory.as_str(), "etc/etcd");
        assert_eq!(profile.cluster.token.unwrap().as_str(), "etcd-cluster-k8s");
        assert_eq!(profile.nodes[0].address.to_string(), "10.0.0.4");
    }
}
