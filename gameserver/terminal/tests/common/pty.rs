//! A program in a pseudo-terminal, and what is to be seen there.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use gameserver_access::ServerKey;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use vt100::Parser;

use super::{KEY, await_some, signal};

/// A terminal with a program in it, which is killed when this is dropped.
pub struct Terminal {
    keys: File,
    child: Child,
    shown: Arc<Mutex<Parser>>,
    reader: Option<JoinHandle<()>>,
}

/// The client on a server, to play or to spectate.
pub fn client(address: std::net::SocketAddr, more: &[&str]) -> Command {
    let (address, key) = (address.to_string(), ServerKey(KEY).digits());
    let mut command = of_terminal(env!("CARGO_BIN_EXE_cranewing-terminal"));
    command.args(["server", "--address", &address, "--key", &key]).args(more);
    command
}

/// A program whose controlling terminal is the one on its standard input.
pub fn of_terminal(program: &str) -> Command {
    let mut command = Command::new("setsid");
    command.args(["--ctty", program]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    command
}

impl Terminal {
    pub fn open(mut command: Command, columns: u16, rows: u16) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keys).and_then(|()| unlockpt(&keys)).unwrap();
        let name = ptsname(&keys, Vec::new()).unwrap();
        let end = || File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let shown = Arc::new(Mutex::new(Parser::new(cells(rows), cells(columns), 0)));
        let keys = File::from(keys);
        tcsetwinsize(&keys, size(columns, rows)).unwrap();
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        // so that what is shown ends with the program
        drop(command);
        let (mut source, screen) = (keys.try_clone().unwrap(), Arc::clone(&shown));
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(len) = source.read(&mut bytes)
                && len > 0
            {
                screen.lock().unwrap().process(&bytes[..len]);
            }
        });
        Self { keys, child, shown, reader: Some(reader) }
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    pub fn resize(&self, columns: u16, rows: u16) {
        self.shown.lock().unwrap().screen_mut().set_size(cells(rows), cells(columns));
        tcsetwinsize(&self.keys, size(columns, rows)).unwrap();
    }

    pub fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// What is on the screen.
    pub fn text(&self) -> String {
        self.shown.lock().unwrap().screen().contents()
    }

    /// Whether there is a colour anywhere.
    pub fn has_colour(&self) -> bool {
        let shown = self.shown.lock().unwrap();
        let (rows, columns) = shown.screen().size();
        let cells = (0..rows.get()).flat_map(|row| (0..columns.get()).map(move |column| (row, column)));
        let mut found = cells.filter_map(|(row, column)| shown.screen().cell(row, column));
        found.any(|cell| cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default)
    }

    /// Waits until the screen shows what is looked for.
    pub fn await_seen<T>(&self, what: &str, look: impl Fn(&str) -> Option<T>) -> T {
        await_some(what, || look(&self.text()), || self.text())
    }

    /// Waits for these words.
    pub fn await_words(&self, words: &str) {
        self.await_seen(words, |text| text.contains(words).then_some(()));
    }

    /// Waits until the program has ended, and until all is shown that it said.
    pub fn wait(&mut self) -> ExitStatus {
        let text = || self.shown.lock().unwrap().screen().contents();
        let status = await_some("the program to end", || self.child.try_wait().unwrap(), text);
        let reader = self.reader.take().unwrap();
        await_some("the last words", || reader.is_finished().then_some(()), text);
        reader.join().unwrap();
        status
    }

    /// Whether the terminal is as a shell has it: its own screen, a cursor, lines and echo.
    pub fn is_given_back(&self) -> bool {
        let shown = self.shown.lock().unwrap();
        let modes = tcgetattr(&self.keys).unwrap().local_modes;
        let is_cooked = modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        is_cooked && !shown.screen().alternate_screen() && !shown.screen().hide_cursor()
    }

    /// Whether a program has taken it.
    pub fn is_taken(&self) -> bool {
        let modes = tcgetattr(&self.keys).unwrap().local_modes;
        let is_raw = !modes.intersects(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        let shown = self.shown.lock().unwrap();
        is_raw && shown.screen().alternate_screen() && shown.screen().hide_cursor()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
        // it ends with the last who has the terminal open
        let _joined = self.reader.take().map(JoinHandle::join);
    }
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).unwrap()
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
