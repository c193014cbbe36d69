//! etcd's configuration in each of its three styles, from the same settings.

use serde_json::{Map, Value};

use super::systemd;
use crate::etcd::keys;
use crate::failure::{Exit, Failure, Result};
use crate::plan::{Node, Plan, Setting};
use crate::profile::ConfigStyle;
use crate::yaml;

/// The files of the styles, in the member's own directory.
const CONFIG_FILE: &str = "etcd.conf";
const ENVIRONMENT_FILE: &str = "etcd.env";

/// The unit's command for etcd, and the file that goes with it.
pub struct Config {
    /// The value of ExecStart=, with continuation lines.
    pub exec_start: String,
    /// The path in the guest and the text of the file, for the styles that have one.
    pub file: Option<(String, String)>,
    pub environment_files: Vec<String>,
}

/// # Errors
/// `Exit::Profile` when an option exists only in the config file and the style is another.
pub fn of_node(plan: &Plan, node: &Node, program: &str) -> Result<Config> {
    let place = |name: &str| format!("{}/{name}", plan.instance.config_directory);
    Ok(match plan.config_style {
        ConfigStyle::File => Config {
            exec_start: format!("{program} --config-file /{}", place(CONFIG_FILE)),
            file: Some((place(CONFIG_FILE), file(node))),
            environment_files: Vec::new(),
        },
        ConfigStyle::Flags => {
            Config { exec_start: flags(program, &node.settings)?, file: None, environment_files: Vec::new() }
        }
        ConfigStyle::Env => Config {
            exec_start: program.to_owned(),
            file: Some((place(ENVIRONMENT_FILE), environment(&node.settings)?)),
            environment_files: vec![format!("/{}", place(ENVIRONMENT_FILE))],
        },
    })
}

fn file_only(key: &str) -> Failure {
    Failure::new(
        Exit::Profile,
        format!("[etcd.config] {key} exists in etcd's config file only; set [etcd] config-style = \"file\""),
    )
}

fn file(node: &Node) -> String {
    let mut document = Map::new();
    for setting in &node.settings {
        match setting.key.split_once('.') {
            Some((section, key)) => {
                let section = document.entry(section).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(section) = section {
                    section.insert(key.to_owned(), setting.value.to_json());
                }
            }
            None => {
                document.insert(setting.key.clone(), setting.value.to_json());
            }
        }
    }
    format!("# Made by Kiln for {}.\n{}", node.name, yaml::document(&Value::Object(document)))
}

fn flags(program: &str, settings: &[Setting]) -> Result<String> {
    let mut text = program.to_owned();
    for setting in settings {
        let name = keys::flag_name(&setting.key).ok_or_else(|| file_only(&setting.key))?;
        let flag = format!("--{name}={}", setting.value.to_flag());
        text.push_str(" \\\n  ");
        text.push_str(&systemd::argument(&flag));
    }
    Ok(text)
}

fn environment(settings: &[Setting]) -> Result<String> {
    let mut text =
        "# Made by Kiln: etcd reads each of its flags from the variable of the same name.\n".to_owned();
    for setting in settings {
        let name = keys::variable_name(&setting.key).ok_or_else(|| file_only(&setting.key))?;
        text.push_str(&systemd::environment(&name, &setting.value.to_flag()));
        text.push('\n');
    }
    Ok(text)
}
