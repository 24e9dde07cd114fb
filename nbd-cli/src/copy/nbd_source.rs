//! An export as a source.

use anyhow::Context as _;
use nbd_driver_std::{Client, Completion, Queue};
use nbd_proto::uri::NbdUri;

use super::extents;
use super::pipeline::{Geometry, Piece, Supply};
use super::plan::{Plan, Span};
use super::source::plan;

pub(crate) struct NbdSource {
    client: Client,
    name: String,
}

impl NbdSource {
    pub(crate) fn new(client: Client, uri: &NbdUri) -> Self {
        Self { client, name: uri.to_string() }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Keeps as many reads in flight as there are buffers. It waits for a buffer only when nothing is in flight:
    /// then all buffers are with the destination, which gives them back without needing anything from here.
    pub(crate) fn run(self, geometry: &Geometry, supply: &Supply) -> anyhow::Result<()> {
        let known = self.client.negotiated().context(extents::CONTEXT).is_some();
        let extents = if known { extents::of_export(self.client.clone()) } else { extents::unknown() };
        let mut reads = Reads {
            plan: plan(extents, self.client.size(), geometry),
            queue: self.client.queue(),
            in_flight: 0,
            name: &self.name,
        };
        loop {
            let buffer = if reads.in_flight == 0 { supply.wait_for_buffer() } else { supply.buffer() };
            let more = match buffer {
                Some(buffer) => reads.start(buffer, supply)?,
                None if reads.in_flight == 0 => return Ok(()),
                None => false,
            };
            if more {
                continue;
            }
            match reads.queue.wait() {
                Some(completion) => {
                    reads.in_flight -= 1;
                    if !supply.hand_over(reads.finish(completion)?) {
                        return Ok(());
                    }
                }
                None => return Ok(()),
            }
        }
    }
}

struct Reads<'a> {
    plan: Plan,
    queue: Queue,
    in_flight: usize,
    name: &'a str,
}

impl Reads<'_> {
    /// Does the next thing of the plan with this buffer. Says whether there may be more.
    fn start(&mut self, mut buffer: Vec<u8>, supply: &Supply) -> anyhow::Result<bool> {
        let span = self.plan.next().transpose().with_context(|| format!("asking {} for its extents", self.name))?;
        let Some(Span { range, zero }) = span else { return Ok(false) };
        let length = range.end - range.start;
        if zero {
            return Ok(supply.hand_over(Piece::zeroes(range.start, length, buffer)));
        }
        buffer.resize(length as usize, 0);
        match self.queue.read(buffer, range.start) {
            Ok(_) => self.in_flight += 1,
            Err(rejected) => return Err(self.failed(rejected.error, range.start)),
        }
        Ok(true)
    }

    fn finish(&self, completion: Completion) -> anyhow::Result<Piece> {
        let offset = completion.command.offset;
        match completion.result {
            Ok(()) => Ok(Piece::data(offset, completion.buffer)),
            Err(error) => Err(self.failed(error, offset)),
        }
    }

    fn failed(&self, error: nbd_driver_std::Error, offset: u64) -> anyhow::Error {
        anyhow::Error::from(error).context(format!("reading {} at byte {offset}", self.name))
    }
}
