//! Programs that users run: Helm, kubectl and the container engine.

use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::region::Region;

/// How long a program may take; each of ours has a limit of its own below this.
const LIMIT: Duration = Duration::from_secs(180);

/// Runs kubectl against a region; panics with its words when it fails.
pub async fn kubectl(region: &Region, arguments: &[&str]) -> String {
    kubectl_with(region, arguments, "").await
}

/// The same, with `input` for `--filename=-`.
pub async fn kubectl_with(region: &Region, arguments: &[&str], input: &str) -> String {
    let said = try_kubectl(region, arguments, input).await;
    said.unwrap_or_else(|error| panic!("kubectl {}: {error}", arguments.join(" ")))
}

/// What kubectl printed, or its words when it fails.
pub async fn try_kubectl(region: &Region, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(&region.kubeconfig).args(arguments);
    run(command, input).await
}

/// Standard output of a program that gets `input`, or its standard error when it fails.
pub(crate) async fn run(mut command: Command, input: &str) -> Result<String, String> {
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let finished = async {
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // a program that does not read its input says by its status whether that is a failure
            drop(stdin.write_all(input.as_bytes()).await);
        }
        child.wait_with_output().await
    };
    let output = timeout(LIMIT, finished)
        .await
        .map_err(|_elapsed| format!("{program} took longer than {} s", LIMIT.as_secs()))?
        .map_err(|error| format!("failed to run {program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{}{}", text(&output.stdout), text(&output.stderr)))
    }
}

/// The operator's program, for its commands.
pub(crate) fn operator() -> std::process::Command {
    std::process::Command::new(
        std::env::var("CRANEWING_E2E_OPERATOR").expect("CRANEWING_E2E_OPERATOR is not set"),
    )
}

/// Runs a command; its words, which are an error if it fails.
pub(crate) fn words(mut command: std::process::Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(said) } else { Err(said) }
}
