//! Integration tests of the platform: contracts that every implementation of a seam keeps.

mod disk_contract;
mod faulty_disk;
