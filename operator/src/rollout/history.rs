//! `operator rollout history`.

use anyhow::Context as _;
use serde::Serialize;
use serde_json::json;
use std::io::Write;

use super::Subject;
use super::revision::{Revision, present};
use crate::args::OutputFormat;

/// A revision as it is shown.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    revision: i64,
    hash: &'a str,
    verdict: Option<&'a str>,
    verdict_reason: Option<&'a str>,
    created: Option<&'a str>,
    /// It is the Fleet's template as it is written.
    now: bool,
}

/// Shows the templates that the Fleet had, the newest last.
pub(super) async fn show(subject: &Subject, output: OutputFormat, out: &mut dyn Write) -> anyhow::Result<()> {
    let fleet = subject.read(&subject.fleets()).await?;
    subject.check_has_servers(&fleet)?;
    let revisions = subject.revisions(&fleet).await?;
    let now = present(&revisions, &fleet).map(|present| present.object.as_str());
    let rows: Vec<Row<'_>> = revisions.iter().map(|revision| Row::of(revision, now)).collect();
    let text = match output {
        OutputFormat::Json => {
            let history = json!({ "fleet": subject.name, "namespace": subject.namespace, "revisions": rows });
            format!("{history:#}\n")
        }
        OutputFormat::Text if rows.is_empty() => format!("{subject}: no template of it is kept yet\n"),
        OutputFormat::Text => table(&rows),
    };
    out.write_all(text.as_bytes()).context("failed to write to the output")
}

fn table(rows: &[Row<'_>]) -> String {
    const HEAD: [&str; 6] = ["REVISION", "HASH", "VERDICT", "CREATED", "NOW", "REASON"];
    let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let line = |row: &[String; 6]| {
        let cells = widths.iter().zip(row).map(|(width, cell)| format!("{cell:<width$}  "));
        let line = cells.chain([row[5].clone()]).collect::<String>();
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

impl<'a> Row<'a> {
    fn of(revision: &'a Revision, now: Option<&str>) -> Self {
        Self {
            revision: revision.number,
            hash: &revision.hash,
            verdict: revision.verdict.as_deref(),
            verdict_reason: revision.reason.as_deref(),
            created: revision.created.as_deref(),
            now: now == Some(revision.object.as_str()),
        }
    }

    fn cells(&self) -> [String; 6] {
        [
            self.revision.to_string(),
            self.hash.to_owned(),
            self.verdict.unwrap_or("-").to_owned(),
            self.created.unwrap_or("-").to_owned(),
            if self.now { "*".to_owned() } else { String::new() },
            self.verdict_reason.unwrap_or_default().replace('\n', " "),
        ]
    }
}
