//! The first path of the README, followed as a newcomer does: a fresh clone, then every fenced command of "Watch it live".
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must panic")]
#![expect(clippy::disallowed_methods, reason = "a test waits for other programs")]

mod fresh;

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Child, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use fresh::{FreshClone, holds_within};
use serde_json::Value;

/// Players in all regions from a fresh clone, its own code compiled first.
const PATIENCE: Duration = Duration::from_secs(900);

/// The section that is followed.
const SECTION: &str = "## Watch it live";

/// How a program takes the whole screen of a terminal, as the live view does.
const FULL_SCREEN: &str = "\x1b[?1049h";

/// Runs a line in a terminal until players are in all regions, then presses Ctrl-C. Gives what the terminal showed.
fn watch(clone: &FreshClone, line: &str) -> String {
    let mut terminal = Terminal::open(clone, line);
    let is_over = holds_within(PATIENCE, Duration::from_secs(1), || {
        terminal.ended() || (terminal.shows(FULL_SCREEN) && players_everywhere(clone))
    });
    assert!(
        is_over && !terminal.ended(),
        "`{line}` did not come to players in every region:\n{}",
        terminal.close()
    );
    terminal.press("\x03");
    terminal.close()
}

fn players_everywhere(clone: &FreshClone) -> bool {
    let Output { status, stdout, .. } = clone.run("cargo xtask status --output json");
    status.success() && regions(&String::from_utf8_lossy(&stdout)).is_some_and(|players| players.len() == 3)
}

/// A program in a terminal of its own.
struct Terminal {
    script: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Terminal {
    fn open(clone: &FreshClone, line: &str) -> Self {
        // exec: dash, asked to run a program, reports its own Ctrl-C although the program took it and ended well
        let exec = format!("exec {line}");
        let mut script = clone
            .command("script")
            .args(["--quiet", "--return", "--flush", "--command", &exec, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("failed to start script (Debian package bsdutils): {error}"));
        let mut output = script.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(Vec::new()));
        let reader = thread::spawn({
            let shown = Arc::clone(&shown);
            move || {
                let mut bytes = [0; 4096];
                while let Ok(length @ 1..) = output.read(&mut bytes) {
                    shown.lock().unwrap().extend_from_slice(&bytes[..length]);
                }
            }
        });
        Self { script, shown, reader }
    }

    fn shows(&self, text: &str) -> bool {
        self.shown.lock().unwrap().windows(text.len()).any(|window| window == text.as_bytes())
    }

    fn ended(&mut self) -> bool {
        self.script.try_wait().unwrap().is_some()
    }

    fn press(&mut self, key: &str) {
        self.script.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
    }

    /// Waits for the end, for which a minute is enough, and gives all that it showed.
    fn close(mut self) -> String {
        if !holds_within(Duration::from_secs(60), Duration::from_millis(100), || self.ended()) {
            self.script.kill().unwrap();
        }
        let status = self.script.wait().unwrap();
        self.reader.join().unwrap();
        let shown = String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned();
        assert!(status.success(), "it ended badly ({status}):\n{shown}");
        shown
    }
}

/// Players of each region that has any, if this is what `--output json` prints.
fn regions(text: &str) -> Option<Vec<u64>> {
    let overview: Value = serde_json::from_str(text).ok()?;
    let regions = overview["regions"].as_object()?;
    Some(
        regions
            .values()
            .filter_map(|region| region["players"].as_u64())
            .filter(|players| *players > 0)
            .collect(),
    )
}

/// Lines of the fenced blocks of one section, their comments left out.
fn commands(readme: &str, section: &str) -> Vec<String> {
    let lines = readme.lines().skip_while(|line| *line != section).skip(1);
    let mut fenced = false;
    let mut found = Vec::new();
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        if line.starts_with("```") {
            fenced = line == "```sh";
        } else if fenced {
            found.extend(line.split('#').next().map(|command| command.trim().to_owned()));
        }
    }
    found.retain(|command| !command.is_empty());
    found
}

#[test]
fn the_first_path_of_the_readme_does_what_it_says() {
    let clone = FreshClone::fresh("home");
    let readme = fs::read_to_string(clone.root.join("README.md")).unwrap();
    let commands = commands(&readme, SECTION);
    assert_eq!(commands.first().map(String::as_str), Some("cargo xtask up"), "{commands:?}");
    assert_eq!(commands.last().map(String::as_str), Some("cargo xtask down"), "{commands:?}");
    for command in &commands {
        let start = Instant::now();
        if command == "cargo xtask up" {
            let shown = watch(&clone, command);
            assert!(shown.contains("stays up: kr, jp, sg"), "the regions stay, and it says so:\n{shown}");
        } else {
            let printed = clone.succeed(command);
            if command.contains("--output json") {
                assert_eq!(regions(&printed).map(|players| players.len()), Some(3), "{printed}");
                let overview: Value = serde_json::from_str(&printed).unwrap();
                for (id, region) in overview["regions"].as_object().unwrap() {
                    assert!(region["servers"].as_u64() > Some(0), "{id}: {region}");
                    assert!(region["latency_ms"]["p99"].as_f64() > Some(0.0), "{id}: {region}");
                    assert_eq!(region["bots"]["refused"], 0, "{id}: {region}");
                    assert_eq!(region["bots"]["disconnects"], 0, "{id}: {region}");
                }
            }
            if command == "cargo xtask status" {
                look_in(&clone, &printed);
            }
        }
        println!("{:>6.1} s  {command}", start.elapsed().as_secs_f64());
    }
    let status = clone.run("cargo xtask status");
    assert!(!status.status.success(), "nothing is up after `down`");
    let said = String::from_utf8_lossy(&status.stderr).into_owned();
    assert!(said.contains("`cargo xtask up` starts it"), "{said}");
}

/// The two lines that `status` shows lead a shell to every region, by the contexts that the docs name.
fn look_in(clone: &FreshClone, status: &str) {
    let exports: Vec<&str> = status.lines().filter(|line| line.trim().starts_with("export ")).collect();
    assert_eq!(exports.len(), 2, "{status}");
    for id in ["kr", "jp", "sg"] {
        let kubectl = format!("kubectl --context {id} get regionclusters {id} --output=name");
        let place = format!("operator place --context {id} --latency {id}=1");
        for (command, expected) in
            [(kubectl, format!("regioncluster.cranewing.dev/{id}\n")), (place, format!("{id}\n"))]
        {
            let script = format!("{}\n{command}", exports.join("\n"));
            let Output { stdout, stderr, .. } = clone.command("sh").args(["-c", &script]).output().unwrap();
            let printed = String::from_utf8_lossy(&stdout);
            assert_eq!(printed, expected, "{script}\n{}", String::from_utf8_lossy(&stderr));
        }
    }
}

#[test]
fn commands_are_the_fenced_lines_of_one_section_without_comments() {
    let readme = "# A\n```sh\nno\n```\n## B\ntext\n```sh\none --x  # why\n\n```\n```yaml\nkey: 1\n```\n## C\n```sh\nno\n```\n";
    assert_eq!(commands(readme, "## B"), ["one --x"]);
}
