//! What `terraform/` says and what it plans, checked without a cluster by OpenTofu, and by Terraform where it is on the `PATH`; and all that both need to
//! apply it: no registry is asked, because the providers are built here and lie in a mirror in the cache.

mod plans;
mod rules;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, bail};

use crate::checkout::{Checkout, digest, unfinished};
use crate::packages;
use crate::process;
use crate::progress::Progress;
use crate::tools::{self, Provider};

/// The oldest Terraform that `terraform/` is for.
const TERRAFORM_MIN: (u32, u32) = (1, 11);

/// What has tests of its own, and what has none.
const TESTED: [&str; 3] = ["modules/region", "modules/global", "environments/production"];
const OTHERS: [&str; 2] = ["environments/staging", "examples/all-regions"];

/// One of the two programs that apply `terraform/`.
#[derive(Debug, Clone)]
pub(crate) struct Tool {
    /// What people call it.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
}

/// Both programs, and the configuration by which they find providers.
#[derive(Debug)]
pub(crate) struct Terraform {
    pub(crate) tools: Vec<Tool>,
    pub(crate) configuration: PathBuf,
    /// Why Terraform is not among them.
    pub(crate) missing: Option<String>,
}

impl Terraform {
    /// Builds OpenTofu and the providers where the cache lacks them.
    pub(crate) fn build(checkout: &Checkout, progress: &Progress) -> Result<Self> {
        let (tofu, providers) = tools::build_terraform(checkout, progress)?;
        let mut tools = vec![Tool { name: "OpenTofu", program: tofu }];
        let missing = match terraform() {
            Ok(program) => {
                tools.push(Tool { name: "Terraform", program });
                None
            }
            Err(reason) => Some(reason),
        };
        let configuration = mirror(checkout, &tools, &providers)?;
        Ok(Self { tools, configuration, missing })
    }

    /// By which the end-to-end suite finds each program.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, &Path)> {
        let variable = |tool: &Tool| format!("CRANEWING_E2E_{}", tool.name.to_uppercase());
        self.tools.iter().map(move |tool| (variable(tool), tool.program.as_path()))
    }
}

/// Terraform on the `PATH`, or why it is not used.
fn terraform() -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = std::env::split_paths(&path).map(|directory| directory.join("terraform"));
    let program = program.into_iter().find(|file| file.is_file()).ok_or("terraform is not on the PATH")?;
    let said = process::output(
        Command::new(&program).args(["version", "-json"]).env("TF_CLI_CONFIG_FILE", "/dev/null"),
    )
    .map_err(|error| format!("{error:#}"))?;
    match version(&said) {
        Some(found) if found >= TERRAFORM_MIN => Ok(program),
        found => Err(format!("{} is {found:?}, and {TERRAFORM_MIN:?} is needed", program.display())),
    }
}

/// Major and minor version in what `terraform version -json` says.
fn version(said: &str) -> Option<(u32, u32)> {
    let said: serde_json::Value = serde_json::from_str(said).ok()?;
    let mut numbers = said["terraform_version"].as_str()?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// A mirror of the providers as each of these tools looks for them, and the configuration that names it.
fn mirror(checkout: &Checkout, tools: &[Tool], providers: &[Provider]) -> Result<PathBuf> {
    let mut places = Vec::new();
    for tool in tools {
        let host = host(checkout, tool)?;
        for Provider { source, version, program } in providers {
            places.push((format!("{host}/{source}/{version}/{}", platform()), program.clone()));
        }
    }
    let key: Vec<String> =
        places.iter().map(|(place, program)| format!("{place} {}", program.display())).collect();
    let key = digest(key.iter().map(String::as_bytes));
    let directory = checkout.cache.join("tools").join(format!("terraform-mirror-{}", &key[..12]));
    let configuration = directory.join("cli.tfrc");
    if directory.is_dir() {
        return Ok(configuration);
    }
    let begun = unfinished(&directory);
    for (place, program) in &places {
        let place = begun.join("providers").join(place);
        fs::create_dir_all(&place).with_context(|| format!("failed to create {}", place.display()))?;
        let link = place.join(program.file_name().context("a program has a name")?);
        drop(fs::remove_file(&link));
        symlink(program, &link).with_context(|| format!("failed to write {}", link.display()))?;
    }
    let text = format!(
        "provider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n}}\ndisable_checkpoint = true\n",
        directory.join("providers").display().to_string()
    );
    fs::write(begun.join("cli.tfrc"), text).context("failed to write the configuration of Terraform")?;
    fs::rename(&begun, &directory).with_context(|| format!("failed to complete {}", directory.display()))?;
    Ok(configuration)
}

/// The registry that a tool asks where a provider's source names none: by that name it looks into a mirror too. The tool is asked, so
/// that nothing here names one.
fn host(checkout: &Checkout, tool: &Tool) -> Result<String> {
    let directory = checkout.state().join("terraform/host");
    fs::create_dir_all(&directory).with_context(|| format!("failed to create {}", directory.display()))?;
    let asks = "terraform {\n  required_providers {\n    asked = { source = \"who/asked\" }\n  }\n}\n";
    fs::write(directory.join("main.tf"), asks).context("failed to write a question for Terraform")?;
    let mut providers = Command::new(&tool.program);
    providers.arg("providers").current_dir(&directory).env("TF_CLI_CONFIG_FILE", "/dev/null");
    host_in(&process::output(&mut providers)?)
        .with_context(|| format!("{} does not say where providers come from", tool.name))
}

/// `HOST` of `provider[HOST/who/asked]`.
fn host_in(said: &str) -> Option<String> {
    let (before, _) = said.split_once("/who/asked]")?;
    Some(before.rsplit_once("provider[")?.1.to_owned())
}

/// As both tools call this machine.
fn platform() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux_arm64" } else { "linux_amd64" }
}

/// Format, and of every module and root what `validate`, its tests and its plans say, by each tool; with `rules` also whether each rule of an input
/// is what its run fails by. Names what was not tried.
pub(crate) fn check(checkout: &Checkout, rules: bool) -> Result<Vec<String>> {
    packages::ensure_go(checkout)?;
    let progress = Progress::new();
    let (helm, _) = tools::build_checkers(checkout, &progress)?;
    let found = Terraform::build(checkout, &progress)?;
    let mut path = vec![helm.parent().context("helm lies in a directory")?.to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let path = std::env::join_paths(path).context("failed to put helm before PATH")?;
    for tool in found.tools {
        println!("{}: {}", tool.name, tool.program.display());
        let tree = copy(checkout, &tool)?;
        let (path, configuration) = (path.clone(), found.configuration.clone());
        let runner = Runner { tool, tree, path, configuration };
        check_with(&runner)?;
        // what a rule says does not depend on the tool
        if rules && runner.tool.name == "OpenTofu" {
            println!(
                "{}: {} rules of inputs, each broken by runs of its own",
                runner.tool.name,
                rules::check(&runner)?
            );
        }
    }
    Ok(found.missing.map(|reason| format!("terraform/ by Terraform: {reason}")).into_iter().collect())
}

/// A tool with a copy of `terraform/` of its own.
struct Runner {
    tool: Tool,
    tree: PathBuf,
    path: OsString,
    configuration: PathBuf,
}

impl Runner {
    fn run(&self, directory: &str, arguments: &[&str]) -> Result<String> {
        self.run_in(None, directory, arguments)
    }

    /// What the tool says in a directory of `terraform/`, and there in this workspace.
    fn run_in(&self, workspace: Option<&str>, directory: &str, arguments: &[&str]) -> Result<String> {
        let said = self.command(workspace, directory, arguments)?;
        if !said.status.success() {
            bail!(
                "{} {} in terraform/{directory}:\n{}{}",
                self.tool.name,
                arguments.join(" "),
                String::from_utf8_lossy(&said.stdout),
                String::from_utf8_lossy(&said.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&said.stdout).into_owned())
    }

    /// What the tool says there, however it ends.
    fn say(&self, directory: &str, arguments: &[&str]) -> Result<String> {
        let said = self.command(None, directory, arguments)?;
        Ok(String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
    }

    fn command(&self, workspace: Option<&str>, directory: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.tool.program);
        command.current_dir(self.tree.join(directory)).args(arguments);
        command.env("TF_CLI_CONFIG_FILE", &self.configuration).env("PATH", &self.path);
        command.env("TF_IN_AUTOMATION", "1");
        // nothing of whoever calls, and no discovery of clusters is kept there
        command.env("HOME", &self.tree).env_remove("TF_WORKSPACE").env_remove("KUBECONFIG");
        if let Some(workspace) = workspace {
            command.env("TF_WORKSPACE", workspace);
        }
        command.output().with_context(|| format!("failed to start {command:?}"))
    }
}

fn check_with(runner: &Runner) -> Result<()> {
    let name = runner.tool.name;
    drop(runner.run(".", &["fmt", "-check", "-diff", "-recursive"])?);
    for module in TESTED.iter().chain(&OTHERS) {
        // OpenTofu alone has providers for each entry of a map
        if !module.starts_with("examples") || name == "OpenTofu" {
            drop(runner.run(module, &["init", "-backend=false", "-input=false"])?);
            drop(runner.run(module, &["validate"])?);
        }
    }
    for module in TESTED {
        let said = runner.run(module, &["test", "-no-color"])?;
        let (runs, passed) = counted(&said);
        println!("{name}: terraform/{module}: {passed} of {runs} runs passed");
        if runs == 0 || passed < runs {
            bail!("not all runs passed:\n{said}");
        }
    }
    plans::check(runner).with_context(|| format!("a plan by {name}"))?;
    println!("{name}: plans are as they must be");
    Ok(())
}

/// Runs in what `test` says, and those of them that passed.
fn counted(said: &str) -> (usize, usize) {
    let runs = said.lines().map(str::trim).filter(|line| line.starts_with("run "));
    let passed = runs.clone().filter(|line| line.ends_with("... pass"));
    (runs.clone().count(), passed.count())
}

/// A copy of `terraform/` beside the charts, so that nothing is written into the working tree.
fn copy(checkout: &Checkout, tool: &Tool) -> Result<PathBuf> {
    let beside = checkout.state().join("terraform").join(tool.name);
    drop(fs::remove_dir_all(&beside));
    fs::create_dir_all(&beside).with_context(|| format!("failed to create {}", beside.display()))?;
    process::output(Command::new("cp").arg("-r").arg(checkout.root.join("terraform")).arg(&beside))?;
    for directory in ["charts", "crds"] {
        symlink(checkout.root.join(directory), beside.join(directory))
            .with_context(|| format!("failed to lay {directory} beside a copy of terraform/"))?;
    }
    Ok(beside.join("terraform"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_of_a_tool_is_read_off_what_it_says() {
        let said = "\nProviders required by configuration:\n.\n└── provider[example.org/who/asked]\n\n";
        assert_eq!(host_in(said).as_deref(), Some("example.org"));
        assert_eq!(host_in("no provider"), None);
    }

    #[test]
    fn runs_are_counted_and_files_are_not() {
        let said = "tests/a.tftest.hcl... fail\n  run \"one\"... pass\n  run \"two\"... fail\ntests/b.tftest.hcl... pass\n";
        assert_eq!(counted(said), (2, 1));
        assert_eq!(counted("Success! 0 passed, 0 failed."), (0, 0));
    }

    #[test]
    fn a_terraform_that_is_too_old_is_not_used() {
        assert_eq!(version("{\"terraform_version\": \"1.11.4\"}"), Some((1, 11)));
        assert!(version("{\"terraform_version\": \"1.9.8\"}") < Some(TERRAFORM_MIN));
        assert_eq!(version("Terraform v1.11.4"), None);
    }
}
