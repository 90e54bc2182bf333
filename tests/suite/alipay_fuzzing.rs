//! The fuzz targets as plain tests: each seed, and thousands of mutations of it, the same ones in
//! every run.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/checks.rs"]
mod checks;

const MUTATIONS_PER_SEED: u64 = 2_000;
/// What readers stumble over.
const PIECES: [&[u8]; 20] = [
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"&",
    b"=",
    b"%",
    b"%00",
    b"\x81\x5c",
    b"\0",
    b"\"m_response\":{}",
    b"sign=",
    b"\r\n",
    b"#",
    b"-",
    b",CB1,",
];

/// A small generator of numbers (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (limit.max(1) as u64)).expect("below the limit")
    }
}

fn mutated(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => bytes.truncate(at),
            2 if at < bytes.len() => {
                bytes.remove(at);
            }
            3 => {
                let end = at + random.below(bytes.len() - at + 1);
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut seeds: Vec<_> = fs::read_dir(folder)
        .expect("the seeds")
        .map(|entry| fs::read(entry.expect("an entry").path()).expect("a seed"))
        .collect();
    seeds.sort();
    assert!(seeds.len() > 4, "the seeds are read");
    for (number, seed) in (1_u64..).zip(&seeds) {
        check(seed);
        let mut random = Random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for _ in 0..MUTATIONS_PER_SEED {
            check(&mutated(seed, &mut random));
        }
    }
}

#[test]
fn answers_are_read_as_an_independent_reader_reads_them() {
    run("answer", checks::answer);
}

#[test]
fn notifications_are_read_as_an_independent_reader_reads_them() {
    run("notification", checks::notification);
}

#[test]
fn bills_are_read_alike_whoever_the_other_lines_belong_to() {
    run("bill", checks::bill);
}
