//! The fuzzer hands its bytes to [`helenus_fuzz::files`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| helenus_fuzz::files::run(data));
