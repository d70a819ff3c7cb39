//! The fuzzer hands its bytes to [`helenus_fuzz::pages`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helenus_fuzz::pages::run(data));
