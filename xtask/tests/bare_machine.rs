//! A Debian machine with Go and nothing else: what is missing is named at once, asked for once, installed, and the tools are built.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Everything that podman and the node image need and that a bare Debian lacks, in the one command that brings it.
const INSTALL: &str = "apt-get install --yes --no-install-recommends \
                       podman conmon runc netavark aardvark-dns iptables debootstrap ca-certificates";

/// On the machine: whom the machine that runs this test trusts.
const CERTIFICATES: &str = "/opt/certificates.crt";

/// How the one question ends.
const QUESTION: &str = "[Y/n]";

/// Enters the machine: `$ROOT` with this working tree, Go and its caches in it. Mounts end with the namespace.
const ENTER: &str = r#"
set -e
mount --bind "$ROOT" "$ROOT"
for place in "$TREE" "$GOROOT" "$GOMODCACHE" "$GOCACHE"; do mkdir -p "$ROOT$place"; mount --bind "$place" "$ROOT$place"; done
mount -t proc proc "$ROOT/proc"; mount --rbind /sys "$ROOT/sys"; mount --rbind /dev "$ROOT/dev"
exec chroot "$ROOT" env CRANEWING_CACHE=/var/cache/cranewing PATH="/opt:$GO/usr/sbin:/usr/bin:/sbin:/bin" "$@"
"#;

/// The smallest Debian, unpacked anew.
struct Machine(PathBuf);

impl Machine {
    fn bare() -> Self {
        let cache = std::env::var("CRANEWING_CACHE")
            .unwrap_or_else(|_| format!("{}/.cache/cranewing", std::env::var("HOME").unwrap()));
        let machine = Self(Path::new(&cache).join("clones").join(format!("bare-{}", std::process::id())));
        fs::create_dir_all(&machine.0).unwrap();
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", "bookworm"]).arg(&machine.0).stdout(Stdio::null());
        assert!(debootstrap.status().unwrap().success(), "debootstrap failed");
        fs::copy(env!("CARGO_BIN_EXE_xtask"), machine.0.join("opt/xtask")).unwrap();
        for file in ["etc/resolv.conf", "etc/hosts"] {
            fs::copy(Path::new("/").join(file), machine.0.join(file)).unwrap();
        }
        // whom this machine trusts, beside the place where a bare one has nobody yet
        let trusted = std::env::var("SSL_CERT_FILE");
        let trusted = trusted.unwrap_or_else(|_| "/etc/ssl/certs/ca-certificates.crt".to_owned());
        fs::copy(trusted, machine.0.join(&CERTIFICATES[1..])).unwrap();
        machine
    }

    /// A program on it, with or without Go; all that it starts ends with it.
    fn command(&self, program: &str, go: bool) -> Command {
        let of_go = |name: &str| {
            let output = Command::new("go").args(["env", name]).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let mut enter = Command::new("unshare");
        enter.args(["--mount", "--pid", "--mount-proc", "--kill-child", "bash", "-c", ENTER, "bash"]);
        enter.args(program.split_whitespace()).env("ROOT", &self.0).env("SSL_CERT_FILE", CERTIFICATES);
        enter.env("TREE", Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap());
        enter.envs(["GOROOT", "GOMODCACHE", "GOCACHE"].map(|name| (name, of_go(name))));
        enter.env("GO", if go { format!("{}/bin:", of_go("GOROOT")) } else { String::new() });
        enter
    }

    /// What a program says that must fail.
    fn refusal(&self, program: &str, go: bool) -> String {
        let output = self.command(program, go).stdin(Stdio::null()).output().unwrap();
        assert!(!output.status.success(), "`{program}` must fail here");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// The same in a terminal, in which somebody answers.
    fn answer(&self, answer: &str) -> String {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).and_then(|()| unlockpt(&keys)).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let screen = || fs::File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut up = self.command("xtask up --once", true);
        let mut running = up.stdin(screen()).stdout(screen()).stderr(screen()).spawn().unwrap();
        // so that the last one who has the screen is the program, and what it shows ends with it
        drop(up);
        let mut keys = fs::File::from(keys);
        let lines = BufReader::new(keys.try_clone().unwrap()).lines().map_while(Result::ok);
        let mut shown = String::new();
        for line in lines {
            if line.contains(QUESTION) {
                keys.write_all(answer.as_bytes()).unwrap();
            }
            shown += &(line + "\n");
        }
        assert!(!running.wait().unwrap().success(), "nothing can go on without: {shown}");
        shown
    }

    fn has(&self, file: &str) -> bool {
        self.0.join(file).exists()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Reads on until a line has these words; false if it ends before.
#[expect(clippy::print_stdout, reason = "a test shows what the program said")]
fn says(program: &mut Child, words: &str) -> bool {
    let lines = BufReader::new(program.stderr.take().unwrap()).lines().map_while(Result::ok);
    lines.inspect(|line| println!("{line}")).any(|line| line.contains(words))
}

#[test]
fn a_machine_with_go_alone_is_told_what_is_missing_asked_once_and_made_ready() {
    let machine = Machine::bare();
    let said = machine.refusal("xtask up --once", false);
    assert!(said.contains("Go 1.26") && said.contains(INSTALL), "all at once: {said}");
    let said = machine.answer("n\n");
    assert_eq!(said.matches(QUESTION).count(), 1, "one question: {said}");
    assert!(said.contains(INSTALL), "{said}");
    assert!(!machine.has("usr/bin/podman"), "no means no");

    let mut up = machine.command("xtask up --once --yes", true);
    let mut up = up.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let has_begun = says(&mut up, "build kubernetes");
    up.kill().unwrap();
    let _killed = up.wait().unwrap();
    assert!(has_begun, "after the packages it goes on to the tools");
    for file in ["usr/bin/podman", "usr/sbin/debootstrap", "usr/sbin/iptables"] {
        assert!(machine.has(file), "{file}");
    }
}
