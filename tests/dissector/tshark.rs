//! Runs `tshark` with the dissector over a capture, in a configuration of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The fields of one packet: of those that are there, their values, with commas between them.
pub(crate) type Fields = BTreeMap<String, String>;

/// The info column and what experts say, beside the fields that are asked for.
pub(crate) const INFO: &str = "_ws.col.Info";
pub(crate) const PROTOCOL: &str = "_ws.col.Protocol";
pub(crate) const EXPERT: &str = "_ws.expert.message";
pub(crate) const MALFORMED: &str = "_ws.malformed";

/// A `tshark` that can run scripts in Lua.
pub(crate) struct Tshark {
    folder: PathBuf,
}

impl Tshark {
    /// None, and a line that says so, if there is no such thing here. `name` is that of the test.
    pub(crate) fn find(name: &str) -> Option<Tshark> {
        let Ok(output) = Command::new("tshark").arg("--version").output() else {
            println!("skipped: there is no tshark here");
            return None;
        };
        if !String::from_utf8_lossy(&output.stdout).contains("with Lua") {
            println!("skipped: the tshark that is here cannot run scripts in Lua");
            return None;
        }
        let folder = std::env::temp_dir().join(format!("dissector-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of the test's own");
        // Some builds run no scripts for root unless the user says so here.
        let allow = "run_user_scripts_when_superuser = true\n";
        fs::write(folder.join("init.lua"), allow).expect("the user's own start script");
        Some(Tshark { folder })
    }

    /// Where captures can be put; it goes away with this value.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The fields of every packet of a capture, in order.
    pub(crate) fn read(&self, capture: &Path, options: &[&str], fields: &[&str]) -> Vec<Fields> {
        let script = super::root().join("docs/wireshark/orca.lua");
        let mut command = Command::new("tshark");
        command
            .env("WIRESHARK_CONFIG_DIR", &self.folder)
            .arg("-n")
            .arg("-X")
            .arg(format!("lua_script:{}", script.display()))
            .arg("-r")
            .arg(capture)
            .args(options)
            .args(["-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"])
            .args(["-E", "aggregator=,"]);
        let always = [INFO, PROTOCOL, EXPERT, MALFORMED];
        let names: Vec<&str> = always.iter().chain(fields).copied().collect();
        for name in &names {
            command.args(["-e", name]);
        }
        let output = command.output().expect("tshark starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && !errors.contains("Lua"),
            "{command:?}: {errors}"
        );
        let text = String::from_utf8(output.stdout).expect("tshark writes UTF-8");
        text.lines().map(|line| parse(line, &names)).collect()
    }
}

impl Drop for Tshark {
    fn drop(&mut self) {
        // What cannot be removed is left to the system.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn parse(line: &str, names: &[&str]) -> Fields {
    let values: Vec<&str> = line.split('\t').collect();
    assert_eq!(values.len(), names.len(), "{line}");
    let pairs = names.iter().zip(values);
    pairs
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| ((*name).to_owned(), uniform(value)))
        .collect()
}

/// Later versions print booleans as words.
fn uniform(value: &str) -> String {
    match value {
        "True" => "1".to_owned(),
        "False" => "0".to_owned(),
        other => other.to_owned(),
    }
}

/// Fails if the script failed on a packet, or if Wireshark found it malformed and the script did not.
#[track_caller]
pub(crate) fn check_no_failure(fields: &Fields, what: &str) {
    let expert = fields.get(EXPERT).map_or("", String::as_str);
    let is_failure = expert.contains("Lua") || expert.contains("xception");
    assert!(!is_failure, "{what}: {expert}");
    let is_malformed = fields.contains_key(MALFORMED);
    assert_eq!(
        is_malformed,
        expert.contains("Malformed: "),
        "{what}: {expert}"
    );
}
