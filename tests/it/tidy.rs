//! The repository itself: what a reviewer would otherwise have to look for.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Every file that git knows or would take in, relative to the root.
fn files() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root).output();
    let listed = listed.expect("git is there, for the repository came by it");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().map(|line| root.join(line)).filter(|path| path.exists()).collect()
}

fn with_extension(extension: &str) -> Vec<(PathBuf, String)> {
    let of = |path: &PathBuf| path.extension().is_some_and(|e| e == extension);
    files().into_iter().filter(of).map(|path| (path.clone(), std::fs::read_to_string(&path).unwrap())).collect()
}

#[test]
fn links_in_the_documentation_lead_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in with_extension("md") {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap();
            let outside = target.contains("://") || target.starts_with("mailto:") || file.is_empty();
            if !outside && !path.parent().unwrap().join(file).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn every_rust_file_says_what_it_is() {
    let silent: Vec<PathBuf> =
        with_extension("rs").into_iter().filter(|(_, text)| !text.starts_with("//! ")).map(|(path, _)| path).collect();
    assert!(silent.is_empty(), "files without a first line `//! what it is`: {silent:#?}");
}

#[test]
fn no_module_is_called_mod() {
    let named: Vec<PathBuf> = files().into_iter().filter(|path| path.file_name().is_some_and(|name| name == "mod.rs")).collect();
    assert!(named.is_empty(), "the house uses name.rs beside name/: {named:#?}");
}

#[test]
fn every_sql_test_is_found_by_the_runner() {
    let known = |path: &Path| path.extension().is_some_and(|e| e == "slt") || path.ends_with("README.md");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sqllogictest");
    let strange: Vec<PathBuf> = files().into_iter().filter(|path| path.starts_with(&root) && !known(path)).collect();
    assert!(strange.is_empty(), "the runner takes .slt files only: {strange:#?}");
    let elsewhere: Vec<PathBuf> =
        files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "slt") && !path.starts_with(&root)).collect();
    assert!(elsewhere.is_empty(), "the runner looks in sqllogictest only: {elsewhere:#?}");
}

#[test]
fn no_file_is_large() {
    let large: Vec<PathBuf> = files().into_iter().filter(|path| path.metadata().unwrap().len() > 512 * 1024).collect();
    assert!(large.is_empty(), "files over 512 KiB: {large:#?}");
}

#[test]
fn nothing_unfinished_is_left() {
    // Put together here, so that this file does not find itself.
    let words: Vec<String> =
        ["todo", "unimplemented", "dbg"].iter().map(|word| format!("{word}!(")).chain(["#[ig".to_string() + "nore"]).collect();
    let mut found = Vec::new();
    for (path, text) in with_extension("rs") {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| line.contains(word.as_str())) {
                found.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
