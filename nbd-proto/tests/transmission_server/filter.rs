//! The payload form of `BLOCK_STATUS`: which contexts are to answer (extended-headers extension,
//! `NBD_CMD_BLOCK_STATUS`).

use nbd_proto::handshake::ReplyStyle;
use nbd_proto::wire::chunk::Descriptor;
use nbd_proto::wire::flags::CommandFlags;
use nbd_proto::wire::number::ContextId;

use crate::client::{chunks, filtered_status, raw_request};
use crate::harness::{Link, each_way};
use crate::setup::{BASE, OTHER, Setup};

#[track_caller]
fn play(scene: impl Fn(&mut Link)) {
    each_way(&Setup::new(ReplyStyle::Extended), scene);
}

fn contexts(link: &Link, number: usize) -> Vec<u32> {
    link.server.contexts(link.id(number)).iter().map(|context| context.0).collect()
}

#[test]
fn only_the_contexts_that_are_named_are_asked_about_in_the_order_of_the_client() {
    play(|link| {
        for (number, asked) in [&[BASE][..], &[OTHER], &[BASE, OTHER], &[OTHER, BASE]].into_iter().enumerate() {
            link.feed(&filtered_status(7, 0, 512, 1024, asked));
            assert_eq!(contexts(link, number), asked);
            let told = link.requests[number];
            assert_eq!((told.offset, told.length, told.flags), (512, 1024, CommandFlags::empty()));
            let extents = [Descriptor { length: 1024, flags: 0 }];
            let answer: Vec<_> = asked.iter().map(|context| (*context, &extents[..])).collect();
            link.finish_status(number, &answer).unwrap();
            let told: Vec<_> = chunks(&link.send_all()).iter().map(|chunk| chunk.extents().0).collect();
            assert_eq!(told, asked);
        }
    });
}

#[test]
fn without_a_payload_all_selected_contexts_are_asked_about() {
    play(|link| {
        link.feed(&raw_request(true, 7, 7, 0, 512, 1024));
        assert_eq!(contexts(link, 0), [BASE, OTHER]);
        link.finish_status(0, &[]).unwrap_err();
        let extents = [Descriptor { length: 1024, flags: 0 }];
        link.finish_status(0, &[(BASE, &extents), (OTHER, &extents)]).unwrap();
        assert_eq!(link.server.contexts(link.id(0)), [] as [ContextId; 0]);
    });
}

#[test]
fn other_flags_go_with_it() {
    play(|link| {
        link.feed(&filtered_status(7, 1 << 3, 0, 1024, &[OTHER]));
        assert_eq!(link.requests[0].flags, CommandFlags::REQ_ONE);
        link.feed(&filtered_status(8, 1 << 4, 0, 1024, &[OTHER]));
        assert_eq!(link.answers(), [(8, 22)]);
    });
}

#[test]
fn the_effect_length_may_have_64_bits() {
    each_way(&Setup::new(ReplyStyle::Extended).with_size(1 << 50), |link| {
        link.feed(&filtered_status(7, 0, 0, 1 << 50, &[BASE]));
        assert_eq!(link.requests[0].length, 1 << 50);
    });
}

#[test]
fn a_context_that_comes_whole_is_not_mixed_with_one_before() {
    play(|link| {
        link.feed(&filtered_status(7, 0, 0, 512, &[BASE, OTHER]));
        link.fail(0, nbd_proto::wire::number::ErrorValue::EIO).unwrap();
        link.send_all();
        // The place of the first is used again.
        link.feed(&filtered_status(8, 0, 0, 512, &[OTHER]));
        assert_eq!((link.id(0).slot(), contexts(link, 1)), (link.id(1).slot(), vec![OTHER]));
    });
}
