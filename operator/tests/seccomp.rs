//! `operator seccomp` as a process, as the installer runs it on a node.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn operator(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_operator"));
    command.arg("seccomp").args(arguments);
    command
}

#[test]
fn the_installer_writes_what_is_printed_ends_by_sigterm_and_leaves_the_file() {
    let printed = operator(&[]).output().unwrap();
    assert!(printed.status.success());
    let profile: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");

    let directory = std::env::temp_dir().join(format!("cranewing-installer-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let arguments = ["--install", directory.to_str().unwrap(), "--log-format", "json"];
    let mut installer = operator(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(installer.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("wrote the seccomp profile"), "{line}");
    assert!(installer.try_wait().unwrap().is_none(), "it waits, so that it is there for as long as the node");
    let sent = Command::new("kill").args(["-TERM", &installer.id().to_string()]).status().unwrap();
    assert!(sent.success() && installer.wait().unwrap().success());
    assert_eq!(fs::read(directory.join("gameserver.json")).unwrap(), printed.stdout);
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn an_installer_that_cannot_write_says_where_and_fails() {
    let output = operator(&["--install", "/nonexistent/seccomp"]).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("failed to write /nonexistent/seccomp/gameserver.json"), "{text}");
}
