//! Where the input is cut changes nothing; and no input at all makes anything panic.

use nbd_proto::handshake::{ServerHandshakeSettings, ServerTls};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::bytes;
use crate::random::{Client, any_client, any_pieces};

fn is_invariant(client: &Client, pieces: &[usize]) -> Result<(), TestCaseError> {
    let whole = client.run(&mut |rest| rest);
    prop_assert_eq!(&client.run(&mut |_| 1), &whole, "byte by byte");
    let mut pieces = pieces.iter().copied().cycle();
    prop_assert_eq!(&client.run(&mut |_| pieces.next().unwrap()), &whole, "in pieces");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn of_options(client in any_client(), pieces in any_pieces()) {
        is_invariant(&client, &pieces)?;
    }

    #[test]
    fn of_any_bytes_at_all(
        clear in vec(any::<u8>(), 0..200),
        tls in vec(any::<u8>(), 0..200),
        greeted in any::<bool>(),
        pieces in any_pieces(),
    ) {
        let greeting = if greeted { [&bytes::client_flags(3), &b"IHAVEOPT"[..]].concat() } else { Vec::new() };
        let settings = ServerHandshakeSettings::default().with_tls(ServerTls::Offered);
        is_invariant(&Client { settings, clear: [greeting, clear].concat(), tls }, &pieces)?;
    }
}

/// The clients are worth something only if many of them lead somewhere.
#[test]
fn random_clients_reach_every_end() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut ready, mut tls, mut failed, mut asked, mut contexts) = (0, 0, 0, 0, 0);
    for _ in 0..1000 {
        let client = any_client().new_tree(&mut runner).unwrap().current();
        let run = client.run(&mut |rest| rest);
        asked += run.events.len();
        tls += u32::from(run.steps.iter().any(|step| step == "TLS"));
        match run.end {
            Ok(negotiated) => {
                ready += 1;
                contexts += u32::from(!negotiated.contexts.is_empty());
            }
            Err(_) => failed += 1,
        }
    }
    let seen = format!("{ready} ready, {tls} tls, {failed} failed, {asked} asked, {contexts} contexts");
    assert!(ready > 200 && tls > 50 && failed > 200 && asked > 1000 && contexts > 20, "{seen}");
}
