//! The fuzzer hands its bytes to [`helenus_fuzz::frames`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helenus_fuzz::frames::run(data));
