//! A block status that is collected as a whole.

use nbd_proto::error::CommandError;
use nbd_proto::transmission::{Command, ContextExtents, Event, Extent, StatusAnswer, StatusMemory};

use crate::harness::{BASE, BITMAP, CHUNKED, link};
use crate::server::{LAST, MORE};

#[test]
fn each_context_has_its_extents_in_one_list_in_the_order_in_which_they_spoke() {
    for style in CHUNKED {
        let mut link = link(style);
        let cookie = link.submit(Command::block_status(4096, 4096));
        let bitmap = link.status(cookie, MORE, BITMAP, &[(512, 1), (1024, 0), (512, 1)]);
        let base = link.status(cookie, LAST, BASE, &[(4096, 3)]);
        let all = [bitmap, base].concat();
        // The first chunk comes in two pieces, so that a context speaks twice.
        let header = all.len() - link.status(cookie, LAST, BASE, &[(4096, 3)]).len();
        let cut = header - if style == nbd_proto::handshake::ReplyStyle::Extended { 16 } else { 8 };
        let (mut memory, mut answer) = (StatusMemory::new(usize::MAX), StatusAnswer::default());
        let (mut from, mut brought) = (0, 0);
        for to in [cut, all.len()] {
            loop {
                let advance = link.client.input(&all[from..to]).unwrap();
                from += advance.consumed;
                match advance.event {
                    Some(Event::Extents { context, extents, .. }) => {
                        answer.add(&mut memory, context, extents);
                        brought += 1;
                    }
                    Some(Event::Done { result, .. }) => assert_eq!(result, Ok(())),
                    None if advance.consumed == 0 => break,
                    other => assert_eq!(other, None),
                }
            }
        }
        let extent = |offset, length, flags| Extent { offset, length, flags };
        let bitmap = vec![extent(4096, 512, 1), extent(4608, 1024, 0), extent(5632, 512, 1)];
        let bitmap = ContextExtents { context: BITMAP, extents: bitmap };
        let base = ContextExtents { context: BASE, extents: vec![extent(4096, 4096, 3)] };
        assert_eq!((answer.finish(&memory, Ok(())), brought), ((vec![bitmap, base], Ok(())), 3));
    }
}

#[test]
fn an_answer_from_elsewhere_counts_until_it_is_released() {
    let one = [Extent { offset: 0, length: 512, flags: 0 }; 100];
    let answer = [ContextExtents { context: BASE, extents: one.to_vec() }];
    let mut measure = StatusMemory::new(usize::MAX);
    measure.claim(&answer).unwrap();
    let bytes = measure.held();
    assert!(bytes >= size_of_val(&one), "{bytes}");
    // There is room for two, but for the last byte.
    let mut memory = StatusMemory::new(2 * bytes - 1);
    memory.claim(&answer).unwrap();
    assert_eq!(memory.claim(&answer), Err(CommandError::StatusTooLarge { limit: 2 * bytes - 1 }));
    assert_eq!(memory.held(), bytes);
    memory.release(&answer);
    assert_eq!(memory.held(), 0);
    memory.claim(&answer).unwrap();
}
