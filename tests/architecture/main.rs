//! The shape of the source, held as data: which room may use which, where actix may appear, what an
//! exchange brings along, how long a file may be. A violation is named with its file and line.

mod source;

use std::fs;

use candlewick::exchange::registry::EXCHANGES;
use candlewick::sim::Venue;
use source::{Source, line_of, root, sources};

/// Usable everywhere: they know no room.
const EVERYWHERE: [&str; 2] = ["clock", "telemetry"];

/// Which rooms a room may use, besides itself and [`EVERYWHERE`].
const EDGES: &[(&str, &[&str])] = &[
    // The command line shows and changes everything, but never reaches into the actors or their decisions.
    ("cli", &["collector", "sim", "store", "status", "control", "mirror", "market", "exchange", "config", "web"]),
    // The embedding face hands out the store, the status and the seams it starts the tree with.
    ("collector", &["actors", "config", "control", "mirror", "status", "store", "transport", "exchange", "market"]),
    // Asks a collector what it is asked over HTTP.
    ("web", &["collector", "config", "control", "status"]),
    (
        "actors",
        &["engine", "supervise", "transport", "store", "status", "control", "mirror", "exchange", "market", "config"],
    ),
    // Decisions, pure.
    ("engine", &["exchange", "market"]),
    // Requests and replies only.
    ("transport", &["exchange"]),
    ("store", &["market"]),
    ("status", &["market"]),
    // Judges commands by what exchanges can do, carries them out on the store, tells of the status.
    ("control", &["store", "status", "exchange", "market"]),
    // What programs beside the collector read and write: statuses, stored candles, commands.
    ("mirror", &["control", "status", "store", "market"]),
    ("exchange", &["market"]),
    // Policies and network settings are values of the rooms that obey them; exchange ids are checked
    // against the registry.
    ("config", &["exchange", "market", "mirror", "store", "supervise", "transport"]),
    // Symbols only: a shared parser or calendar would hide a shared mistake.
    ("sim", &["market"]),
    ("market", &[]),
    ("supervise", &[]),
    ("clock", &[]),
    ("telemetry", &[]),
];

/// Where actix is known: the actors, what watches over them, the face that starts them, and the server.
const ACTIX: &[&str] = &[
    "actors/",
    "supervise/exit.rs",
    "supervise/children.rs",
    "supervise/slot.rs",
    "collector.rs",
    "collector/remote.rs",
    "web/",
];

/// Longest file, its tests left out. Around 300 is usual; past 400 a file is split by idea.
const MOST_LINES: usize = 450;

fn fail_with(violations: Vec<String>) {
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

/// Byte offsets at which a word stands in code.
fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .map(|(at, _)| at)
        .filter(move |at| !code[..*at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())]
}

/// The first names of a path's continuation: `a::b` gives a, `{a, b::{c, d}, e}` gives a, b, e.
fn heads(rest: &str) -> Vec<&str> {
    let rest = rest.trim_start();
    let Some(group) = rest.strip_prefix('{') else { return vec![first_word(rest)] };
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                found.push(first_word(&group[from..at]));
                from = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    found
}

/// Rooms a file names, with the byte where it does. `super` counts where it climbs to the root.
fn rooms_named(source: &Source) -> Vec<(usize, &str)> {
    let code = source.code.as_str();
    let mut found = Vec::new();
    for at in words(code, "crate") {
        if let Some(rest) = code[at + "crate".len()..].strip_prefix("::") {
            found.extend(heads(rest).into_iter().map(|head| (at, head)));
        }
    }
    for at in words(code, "super").filter(|at| !code[..*at].ends_with("super::")) {
        let mut rest = &code[at..];
        let mut climbs = 0;
        while let Some(next) = rest.strip_prefix("super::") {
            (rest, climbs) = (next, climbs + 1);
        }
        if climbs >= source.depth() {
            found.extend(heads(rest).into_iter().map(|head| (at, head)));
        }
    }
    found.retain(|(_, head)| EDGES.iter().any(|(room, _)| room == head));
    found
}

#[test]
fn rooms_use_only_the_rooms_the_table_allows() {
    let mut violations = Vec::new();
    let mut seen = 0;
    for source in sources().iter().filter(|source| !matches!(source.path.as_str(), "lib.rs" | "main.rs")) {
        let room = source.room();
        let Some((_, allowed)) = EDGES.iter().find(|(name, _)| *name == room) else {
            violations.push(format!("src/{}: the room {room} is not in the table", source.path));
            continue;
        };
        for (at, named) in rooms_named(source) {
            seen += 1;
            if named != room && !allowed.contains(&named) && !EVERYWHERE.contains(&named) {
                let line = line_of(&source.code, at);
                violations.push(format!("src/{}:{line}: {room} may not use {named}", source.path));
            }
        }
    }
    assert!(seen > 200, "only {seen} uses were found: the scan is broken");
    fail_with(violations);
}

#[test]
fn every_use_is_seen_whichever_way_it_is_written() {
    let source = |path: &str, code: &str| Source {
        path: path.to_owned(),
        code: code.to_owned(),
        strings: vec![],
        product: String::new(),
        product_lines: 0,
    };
    let named =
        |path, code| rooms_named(&source(path, code)).iter().map(|(_, room)| room.to_string()).collect::<Vec<_>>();
    assert_eq!(
        named("a/b.rs", "use crate::{store::{self, Store}, market, clock::Clock};"),
        ["store", "market", "clock"]
    );
    assert_eq!(named("a/b.rs", "pub(crate) fn f(x: crate::engine::Page) {}"), ["engine"]);
    assert_eq!(named("a/b.rs", "use super::store; use super::super::sim::{X};"), ["sim"]);
    assert_eq!(named("a/mod.rs", "use super::{actors, config::Config};"), ["actors", "config"]);
    assert_eq!(named("a.rs", "use super::cli; use mycrate::store;"), ["cli"]);
}

#[test]
fn the_library_root_holds_modules_and_no_logic() {
    let all = sources();
    let root = all.iter().find(|source| source.path == "lib.rs").expect("there is a library");
    let lines = root.code.lines().map(str::trim).filter(|line| !line.is_empty());
    fail_with(lines.filter(|line| !line.starts_with("pub mod ")).map(|line| format!("src/lib.rs: {line}")).collect());
}

#[test]
fn actix_stays_with_the_actors() {
    let mut violations = Vec::new();
    let mut seen = 0;
    for source in sources() {
        for word in ["actix", "actix_rt", "actix_web"] {
            for at in words(&source.code, word) {
                seen += 1;
                // The host's part: commands run the collector inside a System.
                let is_host = source.room() == "cli" && source.code[at..].starts_with("actix_rt::System");
                if !is_host && !ACTIX.iter().any(|place| source.path.starts_with(place)) {
                    let line = line_of(&source.code, at);
                    violations.push(format!("src/{}:{line}: {word} is not for this file", source.path));
                }
            }
        }
    }
    assert!(seen > 10, "only {seen} uses were found: the scan is broken");
    fail_with(violations);
}

#[test]
fn the_library_is_a_guest_and_installs_nothing() {
    // What belongs to the process and not to one collector in it. The command line is a host, and
    // alone calls what `telemetry` has for hosts.
    const HOSTS: [&str; 12] = [
        "signal",
        "install",
        "install_into",
        "try_init",
        "set_hook",
        "set_global_default",
        "set_boxed_logger",
        "install_default",
        "thread_local",
        "OnceLock",
        "LazyLock",
        "System",
    ];
    let mut violations = Vec::new();
    let mut seen = 0;
    for source in sources() {
        for word in HOSTS {
            for at in words(&source.code, word) {
                seen += 1;
                if !["cli", "telemetry"].contains(&source.room()) {
                    let line = line_of(&source.code, at);
                    violations.push(format!("src/{}:{line}: {word} is the host's", source.path));
                }
            }
        }
    }
    assert!(seen > 3, "only {seen} uses were found: the scan is broken");
    fail_with(violations);
}

#[test]
fn chance_is_drawn_from_the_seed_that_is_handed_down() {
    let mut violations = Vec::new();
    let mut seen = 0;
    for source in sources() {
        for at in words(&source.code, "rand") {
            seen += 1;
            let Some(path) = source.code[at + "rand".len()..].strip_prefix("::") else { continue };
            let is_global = heads(path).iter().any(|name| ["random", "random_range", "rng"].contains(name));
            // Where a seed is chosen that nobody gave.
            if is_global && source.path != "collector.rs" {
                let line = line_of(&source.code, at);
                violations.push(format!("src/{}:{line}: draws from a generator that no seed repeats", source.path));
            }
        }
    }
    assert!(seen > 2, "only {seen} uses were found: the scan is broken");
    fail_with(violations);
}

#[test]
fn no_exchange_is_known_by_name_outside_its_folder() {
    let mut violations = Vec::new();
    for source in sources().iter().filter(|source| source.room() != "sim") {
        for id in EXCHANGES.iter().map(|row| row.capabilities.id) {
            if source.path.starts_with(&format!("exchange/{id}/")) {
                continue;
            }
            let literals = source.strings.iter().filter(|(_, text)| text == id).map(|(line, _)| *line);
            let is_list = matches!(source.path.as_str(), "exchange/mod.rs" | "exchange/registry.rs");
            let paths = words(&source.product, id).filter(|_| !is_list).map(|at| line_of(&source.product, at));
            violations.extend(
                literals
                    .chain(paths)
                    .map(|line| format!("src/{}:{line}: {id} is named; ask its capabilities", source.path)),
            );
        }
    }
    fail_with(violations);
}

#[test]
fn every_exchange_brings_all_its_parts() {
    assert!(!EXCHANGES.is_empty());
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let provenance = fs::read_to_string(root().join("tests/fixtures/README.md")).expect("fixtures say what they are");
    let mut violations = Vec::new();
    for id in EXCHANGES.iter().map(|row| row.capabilities.id) {
        let mut need = |is_there: bool, what: &str| {
            if !is_there {
                violations.push(format!("{id}: {what}"));
            }
        };
        let is_folder =
            |folder: &str| fs::read_dir(root().join(folder).join(id)).is_ok_and(|mut all| all.next().is_some());
        need(is_folder("src/exchange"), "no dialect in src/exchange/");
        need(is_folder("tests/fixtures"), "no fixtures in tests/fixtures/");
        need(is_folder("src/sim"), "no simulator in src/sim/");
        need(id.parse::<Venue>().is_ok(), "the simulator does not serve it");
        need(readme.lines().any(|line| line.starts_with(&format!("| `{id}` |"))), "no row in README.md");
        need(provenance.contains(&format!("| `{id}` |")), "no row in tests/fixtures/README.md");
    }
    fail_with(violations);
}

#[test]
fn files_are_short_enough_to_be_read_at_once() {
    let all = sources();
    let long = all.iter().filter(|source| source.product_lines > MOST_LINES);
    fail_with(long.map(|source| format!("src/{}: {} lines", source.path, source.product_lines)).collect());
}

#[test]
fn nothing_is_unwrapped_outside_tests() {
    let mut violations = Vec::new();
    for source in sources() {
        let at = source.product.match_indices(".unwrap()").map(|(at, _)| line_of(&source.product, at));
        violations.extend(at.map(|line| format!("src/{}:{line}: unwrap", source.path)));
    }
    fail_with(violations);
}

#[test]
fn every_table_of_a_migration_says_what_it_is() {
    let mut tables = 0;
    let mut violations = Vec::new();
    for backend in fs::read_dir(root().join("migrations")).expect("there are migrations") {
        let backend = backend.expect("a folder entry is readable").path();
        for migration in fs::read_dir(backend).expect("a folder for each backend") {
            let path = migration.expect("a folder entry is readable").path().join("up.sql");
            let text = fs::read_to_string(&path).expect("a migration has an up.sql");
            let lines: Vec<_> = text.lines().collect();
            for (index, line) in lines.iter().enumerate() {
                if line.starts_with("CREATE TABLE") || line.starts_with("CREATE VIEW") {
                    tables += 1;
                    if !index.checked_sub(1).is_some_and(|before| lines[before].starts_with("-- ")) {
                        violations.push(format!("{}:{}: {line}", path.display(), index + 1));
                    }
                }
            }
        }
    }
    assert!(tables > 10, "only {tables} tables were found: the scan is broken");
    fail_with(violations);
}
