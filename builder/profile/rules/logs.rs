//! The files of etcd's log, and whether it can write there.

use super::set::{Around, Set, list, on, text};
use crate::etcd::judge::{self, LogOutput};
use crate::etcd::{Release, Value, keys};
use crate::profile::diagnostics::Diagnostics;
use crate::profile::mistake::Mistake;
use crate::profile::reader::quoted;
use crate::values::GuestPath;

/// `setupLogging` and `setupLogRotation` in server/embed/config_logging.go; in 3.4 embed/config_logging.go, whose
/// default logger is capnslog.
pub(super) fn check_logs(diagnostics: &mut Diagnostics, set: &Set, release: Release) {
    let has_capnslog = keys::lookup(release, "log-package-levels").is_some();
    let logger = text(set, "logger");
    if let Some(("capnslog", span)) = logger
        && !has_capnslog
    {
        let reason = format!("etcd {release} has only the logger zap");
        diagnostics.mistake(Mistake::new(span.clone(), reason).help("omit it"));
        return;
    }
    let old = list(set, "log-output").filter(|(items, _)| !items.is_empty());
    let new = list(set, "log-outputs").filter(|(items, _)| !items.is_empty());
    if let (Some((_, old)), Some((_, new))) = (old, new) {
        let mistake = Mistake::new(old.clone(), "log-output and log-outputs are two names of one option");
        diagnostics.mistake(mistake.other(new.clone(), "its other name").help("keep log-outputs"));
        return;
    }
    let outputs = new.or(old);
    let is_stream = |item: &String| judge::log_output(item) == Ok(LogOutput::Stream);
    if let Some((items, span)) = outputs
        && has_capnslog
        && logger.is_none_or(|(logger, _)| logger == "capnslog")
        && (items.len() > 1 || !items.iter().all(is_stream))
    {
        let reason =
            format!("etcd {release} logs to one of stderr, stdout and default, unless its logger is zap");
        diagnostics.mistake(Mistake::new(span.clone(), reason).help("also write logger = \"zap\""));
    }
    let Some(rotation) = on(set, "enable-log-rotation") else { return };
    let is_file = |item: &&String| matches!(judge::log_output(item), Ok(LogOutput::File(_)));
    match outputs {
        Some((items, span)) => {
            if items.iter().filter(is_file).count() != 1 {
                let reason = "enable-log-rotation needs exactly one file in log-outputs";
                let mistake = Mistake::new(rotation.clone(), reason).other(span.clone(), "the outputs");
                diagnostics
                    .mistake(mistake.help("name one file, as in log-outputs = [\"/var/log/etcd/etcd.log\"]"));
            }
        }
        None => {
            let reason = "enable-log-rotation needs a file, and the log goes to stderr without log-outputs";
            let help = "omit it, because the journal rotates itself, or write log-outputs = [\"/var/log/etcd/etcd.log\"]";
            diagnostics.mistake(Mistake::new(rotation.clone(), reason).help(help));
        }
    }
}

/// Files that etcd writes must be where its unit allows it to write, in a directory of its own.
pub(super) fn check_log_files(diagnostics: &mut Diagnostics, set: &Set, around: &Around) {
    let Some(data) = around.data_dir.map(GuestPath::absolute) else { return };
    let rotates = on(set, "enable-log-rotation").is_some();
    let written = set.iter().filter(|(option, _)| keys::writes(&option.key));
    for (option, span) in written {
        let Value::List(items) = &option.value else { continue };
        for item in items {
            let Ok(LogOutput::File(path)) = judge::log_output(item) else { continue };
            let in_data = path.strip_prefix(&data).and_then(|rest| rest.strip_prefix('/'));
            let why = match (path.strip_prefix("/var/log/"), in_data) {
                (Some(rest), _) if rest.contains('/') || !rotates => continue,
                (Some(_), _) => "/var/log itself belongs to root, so etcd cannot rotate files in it",
                (_, Some("member")) => "etcd keeps its data there",
                (_, Some(file)) if file.contains('/') => "etcd creates no directories in its data directory",
                (_, Some(file)) if file.starts_with("kiln") => {
                    "names that begin with kiln are reserved for Kiln"
                }
                (_, Some(_)) => continue,
                _ => "etcd's unit may write to its data directory and below /var/log only",
            };
            let reason = format!("{} {} cannot be {}: {why}", option.table, option.key, quoted(path));
            diagnostics.mistake(
                Mistake::new(span.clone(), reason).help("write it as in \"/var/log/etcd/etcd.log\""),
            );
        }
    }
}
