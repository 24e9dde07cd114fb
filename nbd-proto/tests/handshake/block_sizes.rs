//! `NBD_INFO_BLOCK_SIZE`.

use nbd_proto::error::{Expected, InvalidMessage, Message};
use nbd_proto::handshake::Connect;
use nbd_proto::wire::info::BlockSizes;

use crate::bytes::{GO, ask_info, client_flags, info, info_block_size, join};
use crate::peer::{Outcome, Peer, bare};

fn told(minimum: u32, preferred: u32, maximum: u32) -> Outcome<nbd_proto::handshake::Negotiated> {
    let peer = Peer::fixed().then(info_block_size(GO, minimum, preferred, maximum)).export(GO, 1 << 30, 1);
    peer.run(Connect::new(bare("").with_block_sizes(true)))
}

// O4
#[test]
fn it_is_exactly_fourteen_bytes() {
    for got in [2, 6, 13, 15, 16, 4098, 4099, 5000] {
        let run = Peer::fixed().then(info(GO, 3, &vec![1; got - 2])).run(Connect::new(bare("")));
        let expected = Expected::Exactly(14);
        let error = InvalidMessage::Length { message: Message::InfoBlockSize, expected, got: got as u64 };
        assert_eq!(run.error(), error.into());
    }
}

// O4
#[test]
fn sizes_that_cannot_be_worked_with_are_an_error() {
    let broken = [
        (0, 4096, 1 << 25),
        (3, 4096, 1 << 25),
        (u32::MAX, 4096, u32::MAX),
        (512, 0, 1 << 25),
        (512, 4095, 1 << 25),
        (512, 256, 1 << 25),
        (512, 4096, 511),
        (512, 4096, 0),
    ];
    for (minimum, preferred, maximum) in broken {
        let run = told(minimum, preferred, maximum);
        assert_eq!(run.clear, join(&[&client_flags(3), &ask_info(GO, "", &[3])]), "a breach: no ABORT");
        let error = run.error();
        assert_eq!(error, InvalidMessage::BlockSizes { sizes: BlockSizes { minimum, preferred, maximum } }.into());
        assert!(error.to_string().contains(&format!("minimum {minimum}, preferred {preferred}, maximum {maximum}")));
    }
}

// O4
#[test]
fn sizes_outside_the_specification_that_can_be_worked_with_are_kept_and_can_be_told() {
    for (minimum, preferred, maximum, sound) in [
        (1, 512, 1 << 25, true),
        (65_536, 65_536, u32::MAX, true),
        (131_072, 131_072, 1 << 25, false),
        (1, 1, 1 << 25, false),
        (1, 4096, 1, false),
        (512, 4096, 2048, false),
        (1 << 31, 1 << 31, u32::MAX, false),
    ] {
        let negotiated = told(minimum, preferred, maximum).success();
        let sizes = negotiated.info.block_sizes.unwrap();
        assert_eq!(sizes, BlockSizes { minimum, preferred, maximum });
        assert_eq!(sizes.keeps_the_specification(), sound, "{sizes:?}");
        assert_eq!((negotiated.minimum_block(), negotiated.maximum_payload()), (minimum, maximum));
    }
}
