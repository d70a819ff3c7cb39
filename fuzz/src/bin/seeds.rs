//! Writes the seed corpus into the directory that is named: small inputs that get far.
//!
//! Run by `fuzz/run seeds`, with `--cfg fuzzing`, so that files carry the checksums that the
//! targets expect.

use std::path::Path;

fn main() {
    let dir = std::env::args().nth(1).expect("the directory to write to");
    for (target, seeds) in helenus_fuzz::seeds::all() {
        let dir = Path::new(&dir).join(target);
        std::fs::create_dir_all(&dir).expect("a directory for seeds");
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{number:03}")), seed).expect("a seed is written");
        }
        println!("{target}: {} seeds", seeds.len());
    }
}
