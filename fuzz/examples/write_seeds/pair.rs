//! Operations of a client and a server over two pipes.

use nbd_proto::fuzzing::ServerSessionHeader;

use crate::Seeds;

/// All bytes move, as far as they can.
const MOVE: u8 = 0x7f;
const CLIENT_SENDS: u8 = 0x71;
/// The client sends a few bytes, and they arrive.
const CLIENT_SENDS_A_FEW: u8 = 0x23;
const SERVER_RECEIVES: u8 = 0x72;
const SERVER_SENDS: u8 = 0x74;
const SERVER_SENDS_A_FEW: u8 = 0x4c;
/// One byte moves on each way.
const MOVE_ONE: u8 = 0x0f;
const ANSWER: u8 = 0xa0;
const FAIL: u8 = 0xc0;
const CUT_TO_SERVER: u8 = 0xe0;
const CUT_TO_CLIENT: u8 = 0xf0;
const DISCONNECT: u8 = 0xf8;
const SHUT_DOWN: u8 = 0xf9;

const READ: [u8; 4] = [0x80, 0, 1, 200];
const READ_FEW: [u8; 4] = [0x80, 0, 1, 3];
const READ_WHOLE: [u8; 4] = [0x80, 4, 32, 128];
const WRITE: [u8; 4] = [0x81, 1, 2, 100];
const FLUSH: [u8; 4] = [0x83, 0, 0, 0];
const TRIM: [u8; 4] = [0x84, 0, 3, 80];
const ZEROES: [u8; 4] = [0x86, 0x10, 9, 133];
const STATUS: [u8; 4] = [0x87, 8, 0, 255];
const STATUS_WHOLE: [u8; 4] = [0x87, 0, 0, 128];

const ALL: u8 = 0b0101_1111;
const STRUCTURED: u8 = 0b0100_0110;
const SIMPLE: u8 = 0b1000_0100;

fn session(header: ServerSessionHeader, wishes: u8, operations: &[&[u8]]) -> Vec<u8> {
    // The handshake takes as many rounds as it has options.
    header.before(&[&[wishes], &[MOVE; 8][..], &operations.concat()].concat())
}

pub fn seeds() -> Seeds {
    let generous = ServerSessionHeader::GENEROUS;
    let all: &[&[u8]] = &[
        &READ,
        &WRITE,
        &STATUS,
        &[MOVE, ANSWER + 1, ANSWER, MOVE],
        &READ_WHOLE,
        &FLUSH,
        &[CLIENT_SENDS, SERVER_RECEIVES, FAIL + 1, ANSWER, ANSWER],
        &TRIM,
        &ZEROES,
        &READ,
        &[MOVE, ANSWER, ANSWER, ANSWER, SERVER_SENDS, DISCONNECT],
    ];
    let few: &[&[u8]] = &[&WRITE, &READ, &[CLIENT_SENDS_A_FEW; 30], &[ANSWER, ANSWER], &[SERVER_SENDS_A_FEW; 10]];
    let mut cut = few.to_vec();
    cut.insert(3, &[CUT_TO_SERVER + 1]);
    let mut cut_back = few.to_vec();
    cut_back.insert(4, &[SERVER_SENDS, CUT_TO_CLIENT + 2]);
    let mut shut_down = few.to_vec();
    shut_down.insert(2, &[SHUT_DOWN]);
    let blocks = ServerSessionHeader { export: 0b01000, ..generous };
    vec![
        ("extended", session(generous, ALL, all)),
        ("structured", session(generous, STRUCTURED, all)),
        ("simple", session(generous, SIMPLE, all)),
        ("blocks", session(blocks, ALL, &[&READ_WHOLE, &STATUS_WHOLE, &[MOVE, ANSWER, ANSWER, MOVE]])),
        ("oldstyle", session(ServerSessionHeader { greeting: 2, ..generous }, STRUCTURED, all)),
        ("newstyle", session(ServerSessionHeader { greeting: 1, ..generous }, SIMPLE, all)),
        ("tls", session(ServerSessionHeader { greeting: 2 << 5, ..generous }, ALL, all)),
        ("byte_by_byte", session(generous, STRUCTURED, &[&READ_FEW, &[MOVE_ONE; 30], &[ANSWER], &[MOVE_ONE; 60]])),
        ("few_at_once", session(ServerSessionHeader { in_flight: 1, ..generous }, ALL, few)),
        ("cut_to_server", session(generous, STRUCTURED, &cut)),
        ("cut_to_client", session(generous, ALL, &cut_back)),
        ("shut_down", session(generous, ALL, &shut_down)),
    ]
}
