//! The fuzzer hands its bytes to [`helenus_fuzz::commands`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helenus_fuzz::commands::run(data));
