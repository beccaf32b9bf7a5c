//! The samples as their page tells of them: where each can be applied, what must be there before, and what is waited for.

use std::fs;

use crate::command::{kubectl_with, try_kubectl};
use crate::helm::repository;
use crate::region::PATIENCE;
use crate::scratch::Scratch;
use crate::wait::say;

const PAGE: &str = "docs/samples/README.md";

/// A row of the page.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Below `docs/samples`.
    pub file: String,
    /// `any`, a regionId, or `joined`.
    pub place: String,
    after: Vec<String>,
    /// Arguments of each `kubectl wait`: a condition and the objects that it is waited for on.
    waits: Vec<(String, Vec<String>)>,
}

/// Every sample that there is.
pub fn all() -> Vec<Sample> {
    let page = fs::read_to_string(repository(PAGE)).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| ["));
    let samples: Vec<Sample> = rows.map(sample).collect();
    assert!(samples.len() > 10, "the page is not understood: {samples:?}");
    samples
}

fn sample(row: &str) -> Sample {
    let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
    let [file, _shows, _page, place, after, wait] = cells[..] else { panic!("{row}") };
    let waits = wait.split('`').skip(1).step_by(2).map(|wait| {
        let (condition, objects) = wait.split_once(' ').unwrap();
        (condition.to_owned(), objects.split(' ').map(str::to_owned).collect())
    });
    let waits = waits.collect();
    Sample { file: targets(file).remove(0), place: place.to_owned(), after: targets(after), waits }
}

/// Where the links of a cell lead.
fn targets(cell: &str) -> Vec<String> {
    cell.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned()).collect()
}

impl Sample {
    /// Applies it in the test's namespace, waits for what its page says, and removes it.
    pub async fn holds_in(&self, scratch: &Scratch) {
        say(&format!("sample {}", self.file));
        let files = self.after.iter().chain([&self.file]);
        let texts: Vec<String> = files.map(|file| text(file)).collect();
        for text in &texts {
            drop(in_namespace(scratch, &["apply", "--filename=-"], text).await);
        }
        let timeout = format!("--timeout={}s", PATIENCE.as_secs());
        for (condition, objects) in &self.waits {
            for object in objects {
                scratch.kubectl(&["wait", condition, &timeout, object]).await;
            }
        }
        for text in texts.iter().rev() {
            let delete = ["delete", "--ignore-not-found", &timeout, "--filename=-"];
            drop(in_namespace(scratch, &delete, text).await);
        }
    }

    /// Whether what it waits for is not there without it: of a sample that was not applied nothing is found.
    pub async fn is_absent_in(&self, scratch: &Scratch) -> bool {
        let (condition, objects) = &self.waits[0];
        let wait = ["--namespace", &scratch.namespace, "wait", condition, "--timeout=1s", &objects[0]];
        let said = try_kubectl(&scratch.region, &wait, "").await;
        said.is_err_and(|said| said.contains("NotFound"))
    }
}

async fn in_namespace(scratch: &Scratch, arguments: &[&str], text: &str) -> String {
    let all = [&["--namespace", &scratch.namespace], arguments].concat();
    kubectl_with(&scratch.region, &all, text).await
}

/// The sample, for whichever namespace it is applied in.
fn text(file: &str) -> String {
    let text = fs::read_to_string(repository(&format!("docs/samples/{file}"))).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("  namespace: "));
    lines.flat_map(|line| [line, "\n"]).collect()
}
