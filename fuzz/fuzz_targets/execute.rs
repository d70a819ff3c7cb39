//! The fuzzer hands its bytes to [`helenus_fuzz::execute`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helenus_fuzz::execute::run(data));
