//! Where streams are cut: at every byte, but less densely within data that nobody looks at.

use std::ops::Range;

use crate::transcript::Transcript;

/// The first and last bytes of data are each cut at, and between them every so many.
const EDGE: usize = 4;
const STEP: usize = 97;

pub(crate) fn of_server(transcript: &Transcript) -> Vec<usize> {
    let data = transcript.replies.iter().map(|reply| reply.data.clone());
    cuts(transcript.server.len(), data)
}

pub(crate) fn of_client(transcript: &Transcript) -> Vec<usize> {
    let payloads = transcript.requests.iter().map(|sent| sent.place.end - sent.payload.len()..sent.place.end);
    cuts(transcript.client.len(), payloads)
}

fn cuts(length: usize, data: impl Iterator<Item = Range<usize>>) -> Vec<usize> {
    let mut dense = vec![true; length + 1];
    for Range { start, end } in data.filter(|data| data.len() > 2 * EDGE) {
        for (number, dense) in dense[start + EDGE..end - EDGE].iter_mut().enumerate() {
            *dense = number % STEP == 0;
        }
    }
    (0..=length).filter(|at| dense[*at]).collect()
}
