//! The command line and the configuration, as README and `--help` tell them.

use std::path::Path;
use std::process::{Command, Output};

use filegrid::config::Raw;

fn run(directory: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_filegrid"));
    command
        .current_dir(directory)
        .args(arguments)
        .envs(variables.iter().copied());
    command.output().unwrap()
}

fn help() -> String {
    let output = run(Path::new("."), &[], &["--help"]);
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The options that a text names, without those that every program has.
fn options(text: &str) -> Vec<&str> {
    let mut options: Vec<_> = text
        .split(|symbol: char| !(symbol.is_ascii_alphanumeric() || symbol == '-'))
        .filter(|word| word.starts_with("--") && word.len() > 2 && !matches!(*word, "--help" | "--version"))
        .collect();
    options.sort_unstable();
    options.dedup();
    options
}

#[test]
fn readme_and_help_name_the_same_options() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let told = readme.split("Options: ").nth(1).unwrap();
    let told = told.split(';').next().unwrap();
    let help = help();
    assert_eq!(options(told), options(&help));
    for option in told.split('`').filter(|word| word.starts_with("--")) {
        let (name, value) = option.split_once(' ').unwrap();
        assert!(help.contains(&format!("{name} <{value}>")), "{option}");
    }
    let example = readme
        .split('`')
        .find(|code| code.starts_with("filegrid add-user"))
        .unwrap();
    let output = run(Path::new("."), &[], &["add-user", "--help"]);
    let user_help = String::from_utf8(output.stdout).unwrap();
    assert!(
        options(example)
            .iter()
            .all(|option| options(&user_help).contains(option)),
        "{user_help}"
    );
}

#[test]
fn help_tells_the_defaults_of_the_code() {
    let defaults = Raw::default();
    let help = help();
    for (option, default) in [
        ("--data", defaults.data.display().to_string()),
        ("--listen", defaults.listen),
        ("--shards", defaults.shards.to_string()),
    ] {
        let line = help
            .lines()
            .find(|line| line.trim_start().starts_with(option))
            .unwrap();
        assert!(line.contains(&format!("[default: {default}]")), "{line}");
    }
}

#[test]
fn options_beat_variables_and_those_beat_the_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("node.toml"), "data = \"by-file\"\n").unwrap();
    let file = ["--config", "node.toml"];
    let variable = [("FILEGRID_DATA", "by-variable")];
    for (variables, arguments, data) in [
        (&variable[..0], vec![], "filegrid-data"),
        (&variable[..0], file.to_vec(), "by-file"),
        (&variable, file.to_vec(), "by-variable"),
        (
            &variable,
            [file.to_vec(), vec!["--data", "by-option"]].concat(),
            "by-option",
        ),
    ] {
        // There is no registry to add a user to, which is said with its place.
        let arguments = [arguments, vec!["add-user", "--scopes", "edge"]].concat();
        let output = run(directory.path(), variables, &arguments);
        assert!(!output.status.success());
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            told.contains(&format!("there is no {data}/registry.json")),
            "{told}"
        );
    }
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("colour.toml"), "colour = \"red\"\n").unwrap();
    std::fs::write(directory.path().join("broken.toml"), "listen = \n").unwrap();
    for (variables, arguments, named) in [
        (&[][..], &["--listen", "here"][..], "listen: here"),
        (&[], &["--shards", "200"], "shards"),
        (&[], &["--shards", "many"], "--shards"),
        (&[], &["--colour", "red"], "--colour"),
        (&[], &["--config", "colour.toml"], "colour"),
        (&[], &["--config", "broken.toml"], "broken.toml"),
        (&[], &["--config", "none.toml"], "none.toml"),
        (&[("FILEGRID_DRAIN_S", "soon")], &[], "FILEGRID_DRAIN_S"),
        (&[("FILEGRID_DURABILITY", "maybe")], &[], "durability: maybe"),
        (&[], &["add-user", "--scopes", "file.fly"], "file.fly"),
        (&[], &["add-user", "--scopes", "edge", "--root", "/a/.."], ".."),
        (&[], &["add-user"], "--scopes"),
    ] {
        let output = run(directory.path(), variables, arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}: {told}");
        assert!(told.contains(named), "{arguments:?}: {told}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
}
