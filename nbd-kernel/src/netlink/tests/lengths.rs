//! Answers that are cut, and answers with wrong lengths in them.

use std::io::ErrorKind;

use super::octets::{CONTROLLER, FAMILY, FIRST, NEWFAMILY, answer, connected, devices, ended, family, listed};
use super::script::{PLAIN, Script, session};
use crate::netlink::{Failure, Malformed, Session};

const LIST: [(u32, u8); 2] = [(3, 1), (4, 0)];

/// Asks, lets the datagrams come back, and shows the outcome as text.
type Ask = fn(Vec<Vec<u8>>) -> Result<String, Failure>;

/// What is asked; a good answer, without its end; and the number of both.
fn cases() -> [(Ask, Vec<u8>, u32); 3] {
    let open = |datagrams| {
        let session = Session::open(Script::wire(datagrams).0)?;
        Ok(format!("{:?}", session.events_group()))
    };
    let connect = |datagrams| Ok(session(datagrams).0.connect(&PLAIN)?.to_string());
    let status = |datagrams| Ok(format!("{:?}", session(datagrams).0.status(None)?));
    [
        (open, answer(CONTROLLER, 1, NEWFAMILY, &family()), 1),
        (connect, connected(FIRST, 3), FIRST),
        (status, listed(FIRST, devices(&LIST)), FIRST),
    ]
}

#[test]
fn an_answer_that_is_cut_anywhere_is_an_error() {
    for (ask, good, sequence) in cases() {
        let whole = [good.clone(), ended(sequence, 0)].concat();
        ask(vec![whole.clone()]).unwrap();
        for cut in 0..whole.len() {
            let failure = ask(vec![whole[..cut].to_vec()]).unwrap_err();
            let begun = if cut < good.len() { cut } else { cut - good.len() };
            match failure {
                Failure::Io(error) => assert_eq!((error.kind(), begun), (ErrorKind::TimedOut, 0), "cut at {cut}"),
                Failure::Malformed(malformed) => assert_eq!(malformed, Malformed::Message { left: begun }),
                other => panic!("cut at {cut}: {other}"),
            }
        }
    }
}

#[test]
fn an_answer_of_any_other_length_is_an_error() {
    for (ask, good, sequence) in cases() {
        for length in (0..=good.len() as u32 + 40).chain([1 << 16, 1 << 31, u32::MAX - 3, u32::MAX]) {
            let mut bad = good.clone();
            bad[..4].copy_from_slice(&length.to_ne_bytes());
            for datagrams in [vec![bad.clone(), ended(sequence, 0)], vec![[bad, ended(sequence, 0)].concat()]] {
                assert_eq!(ask(datagrams).is_ok(), length as usize == good.len(), "length {length}");
            }
        }
    }
}

#[test]
fn an_attribute_of_any_other_length_changes_no_answer_into_a_wrong_one() {
    // Where the lengths of attributes are, inner ones too.
    let places: [&[usize]; 3] = [&[28, 60, 64, 68, 88], &[20], &[20, 24, 28, 36, 44, 48, 56]];
    for ((ask, good, sequence), places) in cases().into_iter().zip(places) {
        let expected = ask(vec![good.clone(), ended(sequence, 0)]).unwrap();
        for place in places {
            let right = u16::from_ne_bytes([good[*place], good[place + 1]]);
            assert!((5..=60).contains(&right), "no length at {place} but {right}");
            // Of the 20 bytes of the group's name, and of a device, the last 3 are padding.
            let right = if (17..=20).contains(&right) { 17..=20 } else { right..=right };
            // What is longer than all that is there is the same error, however long.
            for length in (0..=300).chain([1 << 8, 1 << 12, 1 << 15, u16::MAX - 3, u16::MAX]) {
                let mut bad = good.clone();
                bad[*place..place + 2].copy_from_slice(&length.to_ne_bytes());
                let Ok(came) = ask(vec![bad, ended(sequence, 0)]) else {
                    assert!(!right.contains(&length), "{length} at {place}");
                    continue;
                };
                // Without its tail, a list is a shorter list, and a name another one.
                let shorter = ["None", "[]", "[DeviceState { index: 3, connected: true }]"];
                let expected = if right.contains(&length) { &[expected.as_str()][..] } else { &shorter };
                assert!(expected.contains(&came.as_str()), "{came}: {length} at {place}");
            }
        }
    }
}

#[test]
fn a_message_of_the_family_without_a_command_is_an_error() {
    for length in 0..4_usize {
        let mut bad = connected(FIRST, 3);
        bad[..4].copy_from_slice(&(16 + length as u32).to_ne_bytes());
        bad.truncate(16 + length);
        let failure = session([bad, ended(FIRST, 0)]).0.connect(&PLAIN).unwrap_err();
        let expected = Malformed::Short { kind: FAMILY, length };
        assert!(matches!(failure, Failure::Malformed(malformed) if malformed == expected), "{failure}");
    }
}
