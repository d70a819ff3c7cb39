//! The fuzzer hands its bytes to [`helenus_fuzz::gossip`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helenus_fuzz::gossip::run(data));
