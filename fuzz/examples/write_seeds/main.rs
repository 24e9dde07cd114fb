//! Writes the seeds of all targets to `fuzz/seeds/`, one module for each target. Most are made with the emitters of
//! `nbd-proto`, or are what real clients and servers said.
//!
//! See the tops of `nbd-proto/src/fuzzing/*.rs` and `nbd-kernel/src/fuzzing/*.rs` for what the first bytes mean.

mod client_session;
mod netlink_reply;
mod option_reply;
mod pair;
mod recordings;
mod server_session;
mod structured_chunk;
mod uri;
mod wire_roundtrip;

type Seeds = Vec<(&'static str, Vec<u8>)>;

fn main() {
    let targets = [
        ("client_session", client_session::seeds()),
        ("netlink_reply", netlink_reply::seeds()),
        ("option_reply", option_reply::seeds()),
        ("pair", pair::seeds()),
        ("server_session", server_session::seeds()),
        ("structured_chunk", structured_chunk::seeds()),
        ("uri", uri::seeds()),
        ("wire_roundtrip", wire_roundtrip::seeds()),
    ];
    for (target, seeds) in targets {
        seeds.into_iter().for_each(|(name, bytes)| write(target, name, &bytes));
    }
    let recorded = [
        ("client_session", recordings::client_session()),
        ("option_reply", recordings::option_reply()),
        ("server_session", recordings::server_session()),
    ];
    for (target, seeds) in recorded {
        seeds.into_iter().for_each(|(name, bytes)| write(target, &name, &bytes));
    }
}

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = format!("{}/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(format!("{folder}/{name}"), bytes).unwrap();
}
