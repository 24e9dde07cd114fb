//! Requests about nothing, whose outcome the specification leaves open: there is nothing to do, so they succeed, and
//! the caller does not hear of them.

use nbd_proto::wire::number::CommandType;

use crate::harness::each_style;

#[test]
fn reading_writing_and_the_like_of_nothing_succeeds() {
    let commands =
        [CommandType::READ, CommandType::WRITE, CommandType::TRIM, CommandType::CACHE, CommandType::WRITE_ZEROES];
    each_style(|link| {
        // At the very end is still within the export.
        for offset in [0, 1 << 20] {
            for command in commands {
                link.ask(7, command, offset, 0);
                assert_eq!(link.answers(), [(7, 0)], "{command} at {offset}");
            }
        }
        assert_eq!((link.seen(), link.server.in_flight()), (vec![], 0));
    });
}

#[test]
fn nothing_behind_the_end_is_still_out_of_bounds() {
    each_style(|link| {
        link.ask(7, CommandType::READ, (1 << 20) + 1, 0);
        link.ask(8, CommandType::WRITE, u64::MAX, 0);
        assert_eq!(link.answers(), [(7, 22), (8, 28)]);
    });
}

// Each context has to answer with at least one byte.
#[test]
fn there_is_no_block_status_of_nothing() {
    each_style(|link| {
        link.ask(7, CommandType::BLOCK_STATUS, 0, 0);
        assert_eq!(link.answers(), [(7, 22)]);
    });
}

#[test]
fn a_flush_is_not_about_nothing() {
    each_style(|link| {
        link.ask(7, CommandType::FLUSH, 0, 0);
        assert_eq!((link.answers(), link.requests.len()), (vec![], 1));
        link.finish(0).unwrap();
        assert_eq!(link.answers(), [(7, 0)]);
    });
}
