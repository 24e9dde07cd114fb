//! CVE-2021-20286, and the class "peer leaves at any byte": a peer that was gone at an unexpected moment made the other
//! side stop with a failed assertion. Ours are left behind after every byte of what real peers have said, and that is
//! a clean error each time: what had been answered stays answered, what had not fails, and each has one end.

macro_rules! sessions {
    ($($name:ident: $prefix:literal;)*) => {
        /// All prefixes that have a test.
        const PREFIXES: &[&str] = &[$($prefix),*];

        mod a_server_leaves_at_any_byte {
            $(#[test]
            fn $name() {
                for transcript in &super::transcripts($prefix) {
                    crate::client::leaves_at_any_byte(transcript);
                }
            })*
        }

        mod a_client_leaves_at_any_byte {
            $(#[test]
            fn $name() {
                for transcript in &super::transcripts($prefix) {
                    crate::server::leaves_at_any_byte(transcript);
                }
            })*
        }
    };
}

sessions! {
    libnbd_with_nbdkit: "libnbd.nbdkit.";
    libnbd_with_our_server: "libnbd.ours.";
    nbdcopy: "nbdcopy.";
    nbdinfo: "nbdinfo.";
    our_client_with_nbd_server: "ours.nbd-server.";
    our_client_with_nbdkit: "ours.nbdkit.";
    our_client_with_our_server: "ours.ours.";
    our_client_with_qemu_nbd: "ours.qemu-nbd.";
    qemu_img: "qemu-img.";
    qemu_io: "qemu-io.";
}

fn transcripts(prefix: &str) -> Vec<crate::transcript::Transcript> {
    let transcripts = crate::transcript::Transcript::all(prefix);
    assert!(!transcripts.is_empty(), "no recording is called {prefix}…");
    transcripts
}

#[test]
fn every_recording_is_cut_by_one_of_these_tests() {
    for transcript in transcripts("") {
        let tests = PREFIXES.iter().filter(|prefix| transcript.name.starts_with(**prefix)).count();
        assert_eq!(tests, 1, "{}", transcript.name);
    }
}
