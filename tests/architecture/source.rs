//! The source text as the guard sees it: code without comments, strings apart, tests apart.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A suite of tests that is part of the library, because every backend runs it.
const SUITE: &str = "store/conformance/";

/// One file below `src/`.
pub struct Source {
    /// Below `src/`, with forward slashes: `exchange/kraken/mod.rs`.
    pub path: String,
    /// The code; comments and the contents of strings are blanks. Lines are where they were.
    pub code: String,
    /// Line number and contents of every string literal outside tests.
    pub strings: Vec<(usize, String)>,
    /// The code without `#[cfg(test)]` items, blanked as well; all blank in a file of tests.
    pub product: String,
    /// Lines that are no tests: comments and blanks count.
    pub product_lines: usize,
}

impl Source {
    /// The room: the first folder, or the name of a file at the top.
    pub fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Modules between the crate's root and this file's module, itself included.
    pub fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") { parts - 1 } else { parts }
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `src/`, by path.
pub fn sources() -> Vec<Source> {
    let src = root().join("src");
    let mut paths = Vec::new();
    collect(&src, &mut paths);
    paths.sort();
    assert!(paths.len() > 50, "src was not found: {}", src.display());
    let texts: Vec<_> = paths.iter().map(|path| fs::read_to_string(path).expect("a source file is readable")).collect();
    let tests = test_files(&paths, &texts);
    let read = |(path, text): (&PathBuf, &String)| {
        let relative = path.strip_prefix(&src).expect("collected below src");
        let name = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
        let is_test = name.starts_with(SUITE) || tests.iter().any(|test| path.starts_with(test));
        let (code, mut strings) = strip(text);
        let mut product = code.clone();
        let mut test_lines = 0;
        if is_test {
            product = blank(&product);
            strings.clear();
        } else {
            for (from, to) in test_items(&code) {
                let lines = line_of(&code, from)..=line_of(&code, to);
                test_lines += lines.clone().count();
                strings.retain(|(line, _)| !lines.contains(line));
                product.replace_range(from..to, &blank(&code[from..to]));
            }
        }
        let product_lines = if is_test { 0 } else { text.lines().count() - test_lines };
        Source { path: name, code, strings, product, product_lines }
    };
    paths.iter().zip(&texts).map(read).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder is readable") {
        let path = entry.expect("a folder entry is readable").path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Files and folders that a `#[cfg(test)] mod name;` brings in.
fn test_files(paths: &[PathBuf], texts: &[String]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for (path, text) in paths.iter().zip(texts) {
        let code = strip(text).0;
        for (from, to) in test_items(&code) {
            let item = code[from..to].trim_end_matches(';');
            let Some(name) = item.rsplit_once("mod ").map(|(_, name)| name.trim()) else { continue };
            if name.contains('{') {
                continue;
            }
            let folder = match path.file_name().and_then(|name| name.to_str()) {
                Some("mod.rs" | "lib.rs" | "main.rs") => path.parent().expect("a file has a folder").to_owned(),
                _ => path.with_extension(""),
            };
            found.insert(folder.join(format!("{name}.rs")));
            found.insert(folder.join(name));
        }
    }
    found
}

/// Byte ranges of the items under `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(from) = code[at..].find("#[cfg(test)]").map(|offset| at + offset) {
        let mut depth = 0;
        let end = code[from..].char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        let to = end.map_or(code.len(), |(offset, _)| from + offset + 1);
        found.push((from, to));
        at = to;
    }
    found
}

/// The number of the line that holds a byte, from 1.
pub fn line_of(text: &str, byte: usize) -> usize {
    text[..byte].matches('\n').count() + 1
}

fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// Code without comments and strings, and the strings with their lines. Every character that is
/// taken out becomes a blank, so that lines stay.
fn strip(text: &str) -> (String, Vec<(usize, String)>) {
    let chars: Vec<char> = text.chars().collect();
    let (mut code, mut strings) = (String::with_capacity(text.len()), Vec::new());
    let (mut at, mut line) = (0, 1);
    let keep = |c: char| if c == '\n' { '\n' } else { ' ' };
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => quoted(rest),
            ['r', '"' | '#', ..] if !is_word_before(&chars, at) => raw_string(rest),
            ['\'', '\\', ..] => 3 + rest[3..].iter().position(|c| *c == '\'').unwrap_or(0),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        let taken = &rest[..length.max(1)];
        if length == 0 {
            code.push(rest[0]);
        } else {
            code.extend(taken.iter().copied().map(keep));
            if matches!(taken[0], '"' | 'r') {
                let literal: String = taken.iter().collect();
                let inner = literal.trim_start_matches('r').trim_matches('#');
                strings.push((line, inner[1..inner.len() - 1].to_owned()));
            }
        }
        line += taken.iter().filter(|c| **c == '\n').count();
        at += taken.len();
    }
    (code, strings)
}

fn is_word_before(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// Length of a string literal that starts here.
fn quoted(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// Length of a raw string literal that starts here, 0 for a raw identifier.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[2 + hashes..];
    let offset = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len() - end.len());
    2 + hashes + offset + end.len()
}

#[test]
fn comments_strings_and_tests_are_told_apart() {
    let text = "use a; // \"x\"\n/* b /* c */ */ let s = r#\"k\"q\"#; let c = '\"'; let d: &'static str = \"e\\\"f\";\n\
                #[cfg(test)]\nmod tests { fn f() {} }\nfn last() {}\n";
    let (code, strings) = strip(text);
    assert_eq!(strings, [(2, "k\"q".to_owned()), (2, "e\\\"f".to_owned())]);
    let words: Vec<_> = code.split_whitespace().collect();
    assert_eq!(words[..9], ["use", "a;", "let", "s", "=", ";", "let", "c", "="]);
    assert_eq!(code.lines().count(), text.lines().count());
    let items: Vec<_> = test_items(&code).into_iter().map(|(from, to)| code[from..to].to_owned()).collect();
    assert_eq!(items, ["#[cfg(test)]\nmod tests { fn f() {} }"]);
}
