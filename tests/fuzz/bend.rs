//! Bytes bent out of shape, a little at a time.

use proptest::prelude::*;
use proptest::sample::Index;

/// One way of bending.
#[derive(Debug, Clone)]
pub enum Bend {
    Cut(Index),
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
}

/// Up to three of them.
pub fn bends() -> impl Strategy<Value = Vec<Bend>> {
    prop::collection::vec(bend(), 0..4)
}

fn bend() -> impl Strategy<Value = Bend> {
    let token = prop::sample::select(vec![
        "null",
        "-1",
        "0",
        "1e999",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "\"\"",
        "\"NaN\"",
        "[",
        "]",
        "{}",
        "[]",
        ",",
        "\"",
        "\\u0000",
        "true",
        "0.1",
        "1e-400",
        "\u{fc}",
        "=",
        "\n",
    ]);
    prop_oneof![
        any::<Index>().prop_map(Bend::Cut),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Bend::Replace(at, byte)),
        (any::<Index>(), prop::sample::select(b"0123456789-\"[]{},:.e".to_vec()))
            .prop_map(|(at, byte)| Bend::Replace(at, byte)),
        (any::<Index>(), token).prop_map(|(at, token)| Bend::Insert(at, token.as_bytes().to_vec())),
        (any::<Index>(), 1u8..40).prop_map(|(at, count)| Bend::Remove(at, count)),
    ]
}

/// The bytes after all of them, one after the other.
pub fn bent(bytes: &[u8], bends: &[Bend]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for bend in bends {
        if bytes.is_empty() {
            break;
        }
        match bend {
            Bend::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Bend::Replace(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Bend::Insert(at, token) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, token.iter().copied());
            }
            Bend::Remove(at, count) => {
                let from = at.index(bytes.len());
                let to = (from + usize::from(*count)).min(bytes.len());
                bytes.drain(from..to);
            }
        }
    }
    bytes
}
