//! Joins, and then: take what came, do what the keys say, send, draw.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use gameserver_access::Role;

use crate::app::{App, Order};
use crate::args::Args;
use crate::asked::Wish;
use crate::destination::find;
use crate::draw::{Theme, draw};
use crate::link::{Link, Turn};
use crate::log::Tone;
use crate::scene::Scene;
use crate::screen::Screen;

/// Between two frames.
const FRAME: Duration = Duration::from_millis(33);
/// Keys that are taken in one turn at most, so that a pasted book does not stop the world.
const KEYS_MAX: usize = 32;
/// Keys are looked for at least this often.
const WAIT: Duration = Duration::from_millis(8);

/// Plays until the person at the keys leaves, or a signal comes.
///
/// # Errors
/// When there is no terminal, no server, or it lets nobody in.
pub fn run(args: &Args) -> anyhow::Result<()> {
    Screen::check()?;
    let destination = find(&args.place)?;
    let name = destination.name.clone();
    let mut link = Link::open(destination)?;
    join(&mut link).with_context(|| format!("failed to join {name}"))?;
    let stop = stop_signal().context("failed to listen for signals")?;
    let mut screen = Screen::take()?;
    let mut game = Game::new(link, name);
    let played = game.play(&mut screen, &stop);
    game.link.leave();
    played
}

/// Waits until the server has let us in. Until then the terminal is as it was, and ctrl-c ends the program.
fn join(link: &mut Link) -> anyhow::Result<()> {
    let mut out = std::io::stderr();
    let _told = writeln!(out, "joining {} ...", link.destination().name);
    while !link.is_in()? {
        link.transmit();
        link.receive(WAIT)?;
        link.client.update(link.now());
    }
    Ok(())
}

/// Whether the program is to end: by SIGTERM, SIGINT or SIGHUP.
fn stop_signal() -> std::io::Result<Arc<AtomicBool>> {
    let came = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT, signal_hook::consts::SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&came))?;
    }
    Ok(came)
}

struct Game {
    link: Link,
    app: App,
    scene: Scene,
    theme: Theme,
    next_frame: Duration,
}

impl Game {
    fn new(mut link: Link, name: String) -> Self {
        let scene = look(&mut link);
        let (mut app, now) = (App::new(name), link.now().monotonic);
        let what = match link.destination().visit.role {
            Role::Player => "joined as a player",
            Role::Spectator => "joined as a spectator",
        };
        app.log.push(now, Tone::Good, format!("{what}; ? shows the keys"));
        Self { link, app, scene, theme: Theme::of(std::env::var_os("NO_COLOR").as_deref()), next_frame: now }
    }

    fn play(&mut self, screen: &mut Screen, stop: &AtomicBool) -> anyhow::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let wait = self.next_frame.saturating_sub(self.link.now().monotonic).min(WAIT);
            self.link.receive(wait)?;
            self.follow_session()?;
            while let Some(event) = self.link.poll_event() {
                self.app.tell(self.link.now().monotonic, event, &self.scene);
            }
            for _ in 0..KEYS_MAX {
                let Some(action) = Screen::poll_action()? else { break };
                // a key acts on what is, not on what was drawn last
                self.scene = look(&mut self.link);
                match self.app.act(action, &self.scene) {
                    Some(Order::Leave) => return Ok(()),
                    Some(Order::Rejoin) => self.rejoin()?,
                    Some(Order::Ask(wish)) => self.ask(wish),
                    None => {}
                }
            }
            self.link.transmit();
            self.draw(screen)?;
        }
        Ok(())
    }

    fn ask(&mut self, wish: Wish) {
        if let Some(sequence) = self.link.ask(wish) {
            self.app.asked.push(sequence, wish);
        }
    }

    /// Tells what has become of the session.
    fn follow_session(&mut self) -> anyhow::Result<()> {
        let turn = self.link.turn()?;
        let now = self.link.now().monotonic;
        let (tone, text) = match turn {
            Turn::Goes => return Ok(()),
            Turn::Lost => {
                self.app.begin_anew();
                (Tone::Bad, "the server is silent; coming back".to_owned())
            }
            Turn::Returned(after) => {
                self.look_again();
                (Tone::Good, format!("resumed after {:.1} s", after.as_secs_f64()))
            }
            Turn::Rejoined => {
                self.look_again();
                (Tone::Good, "joined again".to_owned())
            }
            Turn::Ended(reason) => {
                self.app.ended = Some(reason.clone());
                (Tone::Bad, reason)
            }
        };
        self.app.log.push(now, tone, text);
        Ok(())
    }

    /// A new session begins in the middle of the map: a spectator asks for what it looked at.
    fn look_again(&mut self) {
        if let Some(watch) = self.app.watch {
            self.ask(Wish::Watch(watch));
        }
    }

    fn rejoin(&mut self) -> anyhow::Result<()> {
        self.app.begin_anew();
        self.link.rejoin()?;
        self.app.log.push(self.link.now().monotonic, Tone::Plain, "joining again");
        Ok(())
    }

    fn draw(&mut self, screen: &mut Screen) -> anyhow::Result<()> {
        let now = self.link.now().monotonic;
        if now < self.next_frame {
            return Ok(());
        }
        // after a pause frames are not made up for
        self.next_frame = (self.next_frame + FRAME).max(now);
        self.scene = look(&mut self.link);
        self.app.see(now, &self.scene);
        let Self { app, scene, theme, .. } = self;
        screen.draw(|frame| draw(frame, app, scene, *theme))
    }
}

fn look(link: &mut Link) -> Scene {
    let (now, role, tick_hz) = (link.now(), link.destination().visit.role, link.destination().tick_hz);
    Scene::of(&mut link.client, role, tick_hz, now)
}
