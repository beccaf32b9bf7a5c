//! Processes of an instance, found by the mark in their environment and ended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::clock;
use crate::engine::INSTANCE_VARIABLE;
use crate::process::BUILD_VARIABLE;

/// Ends every process with the instance's mark that runs one of `programs`, politely first.
pub(crate) fn end(instance: &str, programs: &[&str]) {
    end_all(|| running(instance, programs));
}

/// Ends everything that compiles for the instance.
pub(crate) fn end_builders(instance: &str) {
    end_all(|| builders(instance));
}

/// Ends processes, politely first; `which` looks for those that are left.
fn end_all(which: impl Fn() -> Vec<i32>) {
    use rustix::process::{Pid, Signal};
    for (signal, limit) in [(Signal::TERM, Duration::from_secs(5)), (Signal::KILL, Duration::from_secs(5))] {
        for pid in which().into_iter().filter_map(Pid::from_raw) {
            // it may have ended by itself
            let _ended = rustix::process::kill_process(pid, signal);
        }
        let gone = || which().is_empty().then_some(());
        if clock::poll(limit, Duration::from_millis(50), gone).is_some() {
            return;
        }
    }
}

/// Processes of `programs` with the instance's mark in their environment.
pub(crate) fn running(instance: &str, programs: &[&str]) -> Vec<i32> {
    let mark = format!("{INSTANCE_VARIABLE}={instance}");
    let is_one_of = |process: &Path| {
        fs::read_link(process.join("exe")).is_ok_and(|executable| runs(&executable, programs))
    };
    processes(|process| carries(process, &mark) && is_one_of(process))
}

/// Everything that compiles for the instance: whatever it is called, nothing of the engine has this mark.
fn builders(instance: &str) -> Vec<i32> {
    let mark = format!("{BUILD_VARIABLE}={instance}");
    processes(|process| carries(process, &mark))
}

/// Numbers of the processes but this one whose directory in `/proc` is `wanted`.
fn processes(wanted: impl Fn(&Path) -> bool) -> Vec<i32> {
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| wanted(&Path::new("/proc").join(pid)))
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

fn carries(process: &Path, mark: &str) -> bool {
    fs::read(process.join("environ")).is_ok_and(|environment| {
        environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
    })
}

/// Whether this is one of `programs`, also when its file was replaced since.
fn runs(executable: &Path, programs: &[&str]) -> bool {
    let name = executable.file_name().unwrap_or_default().as_encoded_bytes();
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    programs.iter().any(|program| program.as_bytes() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[test]
    fn what_compiles_is_ended_with_all_that_it_started_whatever_it_is() {
        use std::io::{BufRead as _, BufReader};
        use std::process::{Command, Stdio};
        let instance = format!("cranewing-test-{}", std::process::id());
        // a compiler that outlives the program which started it
        let mut shell = Command::new("sh");
        shell.args(["-c", "sleep 30 & echo begun; wait"]);
        let mut begun = process::bound(&shell, &instance).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let _length = BufReader::new(begun.stdout.take().unwrap()).read_line(&mut said).unwrap();
        begun.kill().unwrap();
        let _killed = begun.wait().unwrap();
        // it has no environment yet where it is only about to become a sleeper
        let is_left = || (builders(&instance).len() == 1).then_some(());
        assert!(
            clock::poll(Duration::from_secs(10), Duration::from_millis(10), is_left).is_some(),
            "the sleeper is left"
        );
        assert_eq!(builders("cranewing-other"), Vec::<i32>::new());
        end_builders(&instance);
        assert_eq!(builders(&instance), Vec::<i32>::new());
    }

    #[test]
    fn a_program_is_known_by_its_file_whatever_it_is_called_with() {
        assert!(runs(Path::new("/cache/tools/kind (deleted)"), &["bots", "kind"]));
        assert!(!runs(Path::new("/bin/dash"), &["bots", "kind"]));
        assert!(!runs(Path::new("/usr/bin/conmon"), &["bots", "kind"]));
        assert!(!runs(Path::new("/usr/bin/kind-of"), &["bots", "kind"]));
    }
}
