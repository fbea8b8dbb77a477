//! Nothing from outside makes a parser panic: arbitrary bytes, the seeds bent out of shape, and every
//! input that once did.
//!
//! The same bodies run under libFuzzer for as long as one likes: `make fuzz TARGET=rest SECONDS=600`.

mod bend;
mod bodies;

use std::fs;
use std::path::{Path, PathBuf};

use candlewick::exchange::registry;
use proptest::prelude::*;
use proptest::sample::Index;

use bend::{bends, bent};

/// The files of a folder of the tests, `folder` and all below it.
fn files(folder: &str) -> Vec<Vec<u8>> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder), &mut found);
    found.sort();
    found.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// What a body should be able to read: recorded bytes for those of venues, else what people write.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let seeds = match name {
        "rest" | "stream" => {
            let folders = registry::EXCHANGES.iter().map(|row| format!("fixtures/{}", row.capabilities.id));
            folders.flat_map(|folder| files(&folder)).collect()
        }
        "config" => files("../config"),
        _ => files(&format!("fuzz/seeds/{name}")),
    };
    assert!(!seeds.is_empty(), "{name} has no seeds");
    seeds
}

#[test]
fn every_body_is_a_program_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), bodies::ALL.len());
    for (name, _) in bodies::ALL {
        let program = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("bodies::{name}(bytes)")), "{program}");
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}

#[test]
fn what_once_made_a_parser_panic_does_so_no_more() {
    for (name, body) in bodies::ALL {
        files(&format!("fuzz/regressions/{name}")).iter().chain(&seeds(name)).for_each(|bytes| body(bytes));
    }
}

#[test]
fn no_parser_panics_on_arbitrary_bytes() {
    proptest!(ProptestConfig::with_cases(256), |(bytes in prop::collection::vec(any::<u8>(), 0..300))| {
        bodies::ALL.iter().for_each(|(_, body)| body(&bytes));
    });
}

#[test]
fn no_parser_of_ours_panics_on_its_seeds_bent_out_of_shape() {
    for (name, body) in bodies::ALL.into_iter().filter(|(name, _)| !["rest", "stream"].contains(name)) {
        let seeds = seeds(name);
        proptest!(ProptestConfig::with_cases(1024), |(pick in any::<Index>(), bends in bends())| {
            body(&bent(&seeds[pick.index(seeds.len())], &bends));
        });
    }
}

/// Each venue's own bytes, for itself alone: those of streams line by line.
#[test]
fn no_dialect_panics_on_its_fixtures_bent_out_of_shape() {
    for venue in bodies::venues() {
        let fixtures: Vec<Vec<Vec<u8>>> = files(&format!("fixtures/{}", venue.dialect.capabilities().id))
            .into_iter()
            .map(|bytes| bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
            .collect();
        let strategy = (status(), any::<Index>(), any::<Index>(), any::<Index>(), bends());
        proptest!(ProptestConfig::with_cases(1024), |((status, pick, line, market, bends) in strategy)| {
            let mut frames = fixtures[pick.index(fixtures.len())].clone();
            let line = line.index(frames.len());
            frames[line] = bent(&frames[line], &bends);
            let market = &venue.markets[market.index(venue.markets.len())];
            bodies::rest_of(&*venue.dialect, market, status, &frames[line]);
            bodies::rest_of(&*venue.dialect, market, status, &frames.join(&b'\n'));
            bodies::stream_of(&*venue.dialect, frames.iter().map(Vec::as_slice));
        });
    }
}

fn status() -> impl Strategy<Value = u16> {
    let refusals = prop::sample::select(vec![400u16, 401, 403, 404, 418, 422, 429, 451, 500, 503, 999]);
    prop_oneof![4 => Just(200u16), 1 => refusals]
}
