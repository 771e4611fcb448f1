#![no_main]

#[allow(dead_code, reason = "each target uses its own")]
#[path = "../looks.rs"]
mod looks;

libfuzzer_sys::fuzz_target!(|octets: &[u8]| {
    looks::refresh(octets);
});
