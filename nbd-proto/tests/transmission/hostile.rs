//! Servers that send anything: nothing panics, and each command ends in exactly one `Done`.

use proptest::prelude::*;

use crate::harness::{Link, Setup};
use crate::random::{Play, plans, style};

/// Plays a stream in pieces, then ends it, and looks at the end. What comes of it must not depend on the pieces.
fn survive(mut start: impl FnMut() -> Link, stream: &[u8], sizes: &[usize], lands: u64) {
    let mut run = |sizes: &[usize], lands: u64| {
        let mut link = start();
        let (mut rest, mut sizes) = (stream, sizes.iter().copied().cycle());
        for nth in 0.. {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            rest = behind;
            if lands >> (nth % 64) & 1 == 1 {
                link.receive(piece);
            } else {
                link.feed(piece);
            }
            link.poll();
        }
        link.client.eof();
        link.poll();
        let error = link.assert_over();
        (link.seen(), link.buffers, error)
    };
    assert_eq!(run(&[usize::MAX], 0), run(sizes, lands));
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Truncate(usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = 0..2000usize;
    prop_oneof![
        4 => (at.clone(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        2 => (at.clone(), prop::sample::select(vec![0u8, 1, 0x7f, 0x80, 0xff])).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (at.clone(), prop::collection::vec(any::<u8>(), 1..20)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (at.clone(), 1..40usize).prop_map(|(at, count)| Mutation::Remove(at, count)),
        1 => (at.clone(), 1..80usize).prop_map(|(at, count)| Mutation::Repeat(at, count)),
        1 => at.prop_map(Mutation::Truncate),
    ]
}

fn mutate(stream: &mut Vec<u8>, mutation: Mutation) {
    let place = |at: usize| if stream.is_empty() { 0 } else { at % stream.len() };
    match mutation {
        Mutation::Set(at, byte) => {
            let at = place(at);
            if let Some(old) = stream.get_mut(at) {
                *old = byte;
            }
        }
        Mutation::Insert(at, bytes) => {
            let at = place(at);
            stream.splice(at..at, bytes);
        }
        Mutation::Remove(at, count) => {
            let at = place(at);
            stream.drain(at..stream.len().min(at + count));
        }
        Mutation::Repeat(at, count) => {
            let at = place(at);
            let again = stream[at..stream.len().min(at + count)].to_vec();
            stream.splice(at..at, again);
        }
        Mutation::Truncate(at) => stream.truncate(place(at)),
    }
}

proptest! {
    #[test]
    fn mutated_replies_are_survived(
        (style, plans, order) in (style(), plans(), prop::collection::vec(any::<u8>(), 0..40)),
        mutations in prop::collection::vec(mutation(), 1..4),
        (sizes, lands) in (prop::collection::vec(1..100usize, 1..8), any::<u64>()),
        sent in 0..2000usize,
    ) {
        let mut stream = Play::new(style, &plans, &order).stream;
        for mutation in mutations {
            mutate(&mut stream, mutation);
        }
        let start = || {
            let mut link = Play::new(style, &plans, &order).link;
            link.send(sent);
            link
        };
        survive(start, &stream, &sizes, lands);
    }

    #[test]
    fn any_bytes_are_survived(
        (style, plans) in (style(), plans()),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        behind_magic in prop::sample::select(vec![None, Some(0x6744_6698u32), Some(0x668e_33ef), Some(0x6e8a_278c)]),
        (sizes, lands) in (prop::collection::vec(1..20usize, 1..8), any::<u64>()),
    ) {
        let stream = [behind_magic.map_or(vec![], |magic| magic.to_be_bytes().to_vec()), bytes].concat();
        survive(|| Play::new(style, &plans, &[]).link, &stream, &sizes, lands);
    }

    #[test]
    fn any_bytes_with_nothing_in_flight_are_survived(style in style(), bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        survive(|| Setup::new(style).link(), &bytes, &[1], u64::MAX);
    }
}
