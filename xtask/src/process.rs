//! Running other programs: what they say goes to a log, and a failure carries its last lines.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Lines of a log that a failure shows.
const TAIL_LINES: usize = 15;

/// Marks what compiles for an instance, and everything that it starts in turn, so that `down` finds all of it.
pub(crate) const BUILD_VARIABLE: &str = "CRANEWING_BUILD";

/// Exit code of `timeout` when the limit has passed.
const LIMIT_PASSED: i32 = 124;

/// The same command, that ends with the thread that starts it, however this program ends; what it started itself is found by the mark.
pub(crate) fn bound(command: &Command, instance: &str) -> Command {
    let mut bound = wrapped("setpriv", &["--pdeathsig=KILL"], command);
    bound.env(BUILD_VARIABLE, instance);
    bound
}

/// The same command in a network namespace of its own, with loopback alone, so that the machine's packet filter and what else
/// uses its network have no part in what is measured. `None` where that is not allowed, which takes root.
pub(crate) fn in_own_network(command: &Command) -> Option<Command> {
    let with_loopback = "ip link set lo up && exec \"$0\" \"$@\"";
    let arguments = ["--net", "--", "sh", "-c", with_loopback];
    let mut trial = wrapped("unshare", &arguments, &Command::new("true"));
    let trial = trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    trial.is_ok_and(|status| status.success()).then(|| wrapped("unshare", &arguments, command))
}

/// The same command, run by another program.
pub(crate) fn wrapped(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(program);
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

/// Runs to the end with both streams appended to `log`.
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<()> {
    let file = open_log(log)?;
    let start = file.metadata().map_or(0, |metadata| metadata.len());
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().context("failed to share the log")?)
        .stderr(file)
        .status()
        .with_context(|| format!("failed to start `{}`", line(command)))?;
    if status.success() {
        return Ok(());
    }
    let text = fs::read(log).unwrap_or_default();
    let since = text.get(usize::try_from(start)?..).unwrap_or(&text);
    bail!(
        "`{}` failed ({}); its last lines:\n{}\nthe whole log: {}",
        line(command),
        describe(status),
        tail(&String::from_utf8_lossy(since)),
        log.display()
    );
}

/// Runs to the end and gives what it wrote to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start `{}`", line(command)))?;
    said(command, output)
}

fn said(command: &Command, output: Output) -> Result<String> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed ({}):\n{}", line(command), describe(output.status), tail(&said));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no text", line(command)))
}

/// The same of what answers within the limit; what does not is ended.
pub(crate) fn output_within(limit: Duration, command: &Command) -> Result<String> {
    let seconds = limit.as_secs_f64();
    let mut limited = wrapped("timeout", &["--foreground", "--kill-after=1", &seconds.to_string()], command);
    let output = limited
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start `{}`", line(&limited)))?;
    if output.status.code() == Some(LIMIT_PASSED) {
        bail!("no answer within {seconds} s");
    }
    said(command, output)
}

/// Whether it runs and succeeds; what it says is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
}

/// A log file, ready to be appended to.
pub(crate) fn open_log(path: &Path) -> Result<File> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("failed to open {}", path.display()))
}

/// The last lines of a text.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..]
        .iter()
        .map(|line| format!("  | {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(LIMIT_PASSED), _) => {
            format!("exit code {LIMIT_PASSED}, which `timeout` gives when the limit has passed")
        }
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_the_code_and_the_last_words() {
        let error =
            output(Command::new("sh").args(["-c", "echo went wrong >&2; exit 3"])).unwrap_err().to_string();
        assert!(
            error.contains("sh -c") && error.contains("exit code 3") && error.contains("| went wrong"),
            "{error}"
        );
    }

    #[test]
    fn what_compiles_ends_with_who_started_it_and_is_marked_in_all_that_it_starts() {
        use std::io::{BufRead as _, BufReader};
        use std::os::unix::process::ExitStatusExt as _;
        // the death of the thread that started it counts as the parent's
        let starter = std::thread::spawn(|| {
            let mut program =
                bound(Command::new("sh").args(["-c", "echo begun; exec sleep 30"]), "cranewing-0000");
            let mut program = program.stdout(Stdio::piped()).spawn().unwrap();
            let mut said = String::new();
            let _length = BufReader::new(program.stdout.take().unwrap()).read_line(&mut said).unwrap();
            program
        });
        assert_eq!(starter.join().unwrap().wait().unwrap().signal(), Some(9));
        let mut shell = Command::new("sh");
        shell.args(["-c", "sh -c 'echo $CRANEWING_BUILD $KEPT ${PATH-unset}; pwd'"]);
        shell.env("KEPT", "kept").current_dir("/");
        assert_eq!(
            output(&mut bound(shell.env("PATH", "/usr/bin:/bin"), "cranewing-0000")).unwrap(),
            "cranewing-0000 kept /usr/bin:/bin\n/\n"
        );
    }

    #[test]
    fn a_limit_that_has_passed_is_named() {
        let error = output(Command::new("timeout").args(["0.01", "sleep", "600"])).unwrap_err().to_string();
        assert!(error.contains("limit has passed"), "{error}");
    }

    #[test]
    fn what_does_not_answer_in_time_is_ended_and_what_does_is_heard() {
        let within = |ms, script: &str| {
            output_within(Duration::from_millis(ms), Command::new("sh").args(["-c", script]))
                .map_err(|error| error.to_string())
        };
        assert_eq!(within(100, "exec sleep 600"), Err("no answer within 0.1 s".to_owned()));
        assert_eq!(within(600_000, "echo here"), Ok("here\n".to_owned()));
        let failed = within(600_000, "echo went wrong >&2; exit 3").unwrap_err();
        assert!(failed.starts_with("`sh -c") && failed.ends_with("| went wrong"), "{failed}");
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = format!("{:#}", output(&mut Command::new("no-such-program")).unwrap_err());
        assert!(error.contains("no-such-program"), "{error}");
    }

    #[test]
    fn a_tail_keeps_the_end_and_drops_blank_lines() {
        let text = (0..40).map(|n| format!("line {n}")).collect::<Vec<_>>().join("\n\n");
        let tail = tail(&text);
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("line 39"), "{tail}");
    }
}
