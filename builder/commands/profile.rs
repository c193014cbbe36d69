//! `kiln profile list`, `show` and `schema`.

use serde_json::json;

use super::output::Output;
use crate::carrier;
use crate::cli::Profile;
use crate::failure::{Exit, Failure, Result};
use crate::profile;

pub fn run(verb: &Profile, out: &Output) -> Result<()> {
    match verb {
        Profile::List { json } => {
            let profiles =
                profile::names().map(|name| (name, summary(profile::embedded(name).unwrap_or_default())));
            if *json {
                let profiles = profiles.map(|(name, summary)| json!({ "name": name, "summary": summary }));
                return out.json(&profiles.collect::<Vec<_>>());
            }
            let lines = profiles.map(|(name, summary)| format!("{name:<10} {summary}"));
            out.print(lines.collect::<Vec<_>>().join("\n"))
        }
        Profile::Schema => out.json(&profile::json_schema(carrier::all())),
        Profile::Show { name } => match profile::embedded(name) {
            // Unchanged, so that the output can be saved as a file.
            Some(text) => out.bytes(text.as_bytes()),
            None => {
                let known: Vec<_> = profile::names().collect();
                let reason = format!("there is no built-in profile {name:?}, only {}", known.join(", "));
                Err(Failure::new(Exit::Usage, reason))
            }
        },
    }
}

/// The first sentence of the comment at the top of a profile.
fn summary(text: &str) -> String {
    let comment: Vec<_> = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim).collect();
    let comment = comment.join(" ");
    comment.split_once(". ").map_or(comment.as_str(), |(first, _)| first).trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_first_sentence() {
        assert_eq!(summary("# Three nodes\n# of 3.5. More.\n\n# no\nschema = 1\n"), "Three nodes of 3.5");
        assert_eq!(summary("schema = 1\n"), "");
        assert!(profile::names().all(|name| !summary(profile::embedded(name).unwrap()).is_empty()));
    }
}
