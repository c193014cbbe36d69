//! `kiln completions`: clap's script for a shell, which knows verbs and options, and after it the names of profiles.

use clap::Command;
use clap_complete::Shell;

use super::output::Output;
use crate::cli;
use crate::failure::Result;
use crate::profile;

pub fn run(args: &cli::Completions, out: &Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "kiln", &mut script);
    let script = String::from_utf8_lossy(&script);
    let names = profile::names().collect::<Vec<_>>().join(" ");
    let script = match args.shell {
        Shell::Bash => bash(&script, &names),
        Shell::Fish => fish(&script, &names),
        Shell::Zsh => zsh(&script, &names),
        _ => script.into_owned(),
    };
    out.bytes(script.as_bytes())
}

/// The verbs with an argument that is a profile: with `--profile`, and by its place.
fn verbs() -> [String; 2] {
    let command = cli::command();
    let with = |is_it: fn(&clap::Arg) -> bool| {
        let has = |verb: &&Command| verb.get_arguments().any(is_it);
        let verbs = command.get_subcommands().filter(has).map(Command::get_name);
        verbs.collect::<Vec<_>>().join(" ")
    };
    let is_profile = |arg: &clap::Arg| {
        arg.is_positional()
            && arg.get_value_names().is_some_and(|names| names.iter().any(|name| name == "PROFILE"))
    };
    [with(|arg| arg.get_long() == Some("profile")), with(is_profile)]
}

/// Bash splits `--profile=NAME` into three words.
fn bash(script: &str, names: &str) -> String {
    let [_, verbs] = verbs();
    let verbs = verbs.replace(' ', "|");
    let script = script.replace("complete -F _kiln ", "complete -F _kiln_and_profiles ");
    let function = r#"_kiln_and_profiles() {
    _kiln "$@"
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" names="NAMES" own=yes file
    if [[ "$cur" == "=" ]]; then
        prev="=" cur=""
    fi
    if [[ "$prev" == "=" ]]; then
        prev="${COMP_WORDS[COMP_CWORD-1]}"
        [[ "$prev" != "=" ]] || prev="${COMP_WORDS[COMP_CWORD-2]}"
    fi
    case "$prev" in
        -p|--profile) ;;
        -*) return 0 ;;
        *)
            case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
                "profile show") [[ "$COMP_CWORD" -gt 2 ]] && own= || return 0 ;;
                *)
                    case "${COMP_WORDS[1]}" in
                        VERBS) [[ "$COMP_CWORD" -gt 1 ]] || return 0 ;;
                        *) return 0 ;;
                    esac
                    ;;
            esac
            ;;
    esac
    case "$cur" in
        -*|*/*) return 0 ;;
    esac
    # The name of a file is no word list of the shell's own: only plain ones are offered.
    for file in ${own:+profiles/[a-z0-9]*.toml}; do
        file="${file##*/}" file="${file%.toml}"
        [[ "$file" == *[!a-z0-9-]* ]] || names+=" $file"
    done
    COMPREPLY+=( $(compgen -W "$names" -- "$cur") )
}

"#;
    function.replace("NAMES", names).replace("VERBS", &verbs) + &script
}

/// A profile may also be a file, except where only a built-in one can be shown.
fn zsh(script: &str, names: &str) -> String {
    let script = script
        .replace(":NAME|FILE:_default'", ":NAME|FILE:_kiln_profiles'")
        .replace("Same as --profile:_default'", "Same as --profile:_kiln_profiles'")
        .replace(
            ":name -- The name of the profile:_default'",
            &format!(":name -- The name of the profile:({names})'"),
        );
    let function = "\n_kiln_profiles() {\n    local -a names=(NAMES profiles/[^_]*.toml(N:t:r))\n    compadd -a names\n    \
                    _files\n}\n";
    script.replacen('\n', &function.replace("NAMES", names), 1)
}

fn fish(script: &str, names: &str) -> String {
    let [with_option, by_place] = verbs();
    let more = r#"
function __kiln_profiles
    printf '%s\n' NAMES
    for file in profiles/*.toml
        string replace -r '.*/(.*)\.toml$' '$1' $file
    end
end
complete -c kiln -n "__fish_kiln_using_subcommand WITH" -s p -l profile -r -a "(__kiln_profiles)"
complete -c kiln -n "__fish_kiln_using_subcommand PLACE" -a "(__kiln_profiles)"
complete -c kiln -n "__fish_kiln_using_subcommand profile; and __fish_seen_subcommand_from show" -f -a "NAMES"
"#;
    let more = more.replace("NAMES", names).replace("WITH", &with_option).replace("PLACE", &by_place);
    format!("{script}{more}")
}
