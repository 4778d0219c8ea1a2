//! `cargo xtask api`: the public items of the crate that people embed, compared with the list that
//! was reviewed, `docs/api/icecore.txt`. Whoever changes the one changes the other, in one commit.
//!
//! The list comes from rustdoc's JSON, which this toolchain writes only when it is told to pretend
//! that it is a nightly one. Where the JSON has another format than the library reads, the check is
//! skipped with that reason.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

/// The list that was reviewed.
const LIST: &str = "docs/api/icecore.txt";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Writes the list anew.
    #[arg(long)]
    write: bool,
}

/// Says whether the list is as the code is. A skipped check has not failed.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let items = match rustdoc_json(&root).and_then(|json| read(&json)) {
        Ok(items) => items,
        Err(reason) => {
            println!("skipped: cargo xtask api ({reason})");
            return true;
        }
    };
    let compared =
        if arguments.write { write(&root, &items) } else { compare(&root.join(LIST), &items) };
    compared.unwrap_or_else(|error| {
        println!("{LIST}: {error}");
        false
    })
}

/// Lets rustdoc describe the crate; the path of what it wrote.
fn rustdoc_json(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = root.join("target/api");
    let status = Command::new(env!("CARGO"))
        .args(["rustdoc", "--quiet", "-p", "icecore", "--lib", "--all-features"])
        .args(["--", "-Z", "unstable-options", "--output-format", "json", "--cap-lints", "allow"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(root)
        .status()?;
    if !status.success() {
        return Err(format!("rustdoc ended with {status}").into());
    }
    Ok(target.join("doc/icecore.json"))
}

fn read(json: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()?;
    Ok(api.items().map(ToString::to_string).collect())
}

#[expect(clippy::disallowed_methods, reason = "a list of the repository, not a store")]
fn write(root: &Path, items: &[String]) -> Result<bool, Box<dyn Error>> {
    let path = root.join(LIST);
    std::fs::create_dir_all(path.parent().expect("the list has a folder"))?;
    std::fs::write(&path, items.join("\n") + "\n")?;
    println!("{LIST}: {} items", items.len());
    Ok(true)
}

fn compare(path: &Path, items: &[String]) -> Result<bool, Box<dyn Error>> {
    let reviewed = std::fs::read_to_string(path)?;
    let reviewed: BTreeSet<&str> = reviewed.lines().collect();
    let present: BTreeSet<&str> = items.iter().map(String::as_str).collect();
    present.difference(&reviewed).for_each(|item| println!("+ {item}"));
    reviewed.difference(&present).for_each(|item| println!("- {item}"));
    let is_same = present == reviewed;
    println!("{} public items, {}", present.len(), if is_same { "as reviewed" } else { "changed" });
    if !is_same {
        println!("review the change, and write the list with `cargo xtask api --write`");
    }
    Ok(is_same)
}
