//! An export as a source.

use anyhow::{Context as _, bail};
use nbd_driver_std::{Client, Completion, Interrupted, Interrupter, Queue};
use nbd_proto::uri::NbdUri;
use nbd_proto::wire::flags::BASE_ALLOCATION;

use super::extents;
use super::pipeline::{Geometry, Piece, Supply};
use super::plan::{Plan, Span};
use super::source::plan;

pub(crate) struct NbdSource {
    client: Client,
    queue: Queue,
    name: String,
}

impl NbdSource {
    pub(crate) fn new(client: Client, uri: &NbdUri) -> Self {
        Self { queue: client.queue(), client, name: uri.to_string() }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn interrupter(&self) -> Interrupter {
        self.queue.interrupter()
    }

    /// Keeps as many reads in flight as there are buffers. It waits for a buffer only when nothing is in flight:
    /// then all buffers are with the destination, which gives them back without needing anything from here.
    pub(crate) fn run(self, geometry: &Geometry, supply: &Supply) -> anyhow::Result<()> {
        let known = self.client.negotiated().context(BASE_ALLOCATION).is_some();
        let extents = if known { extents::of_export(self.client.clone()) } else { extents::unknown() };
        let mut reads = Reads {
            plan: plan(extents, self.client.size(), geometry),
            queue: self.queue,
            in_flight: 0,
            name: &self.name,
        };
        let mut more = true;
        loop {
            if more {
                let buffer = if reads.in_flight == 0 { supply.wait_for_buffer() } else { supply.buffer() };
                match buffer {
                    Some(buffer) => {
                        more = reads.start(buffer, supply)?;
                        continue;
                    }
                    None if reads.in_flight == 0 => return Ok(()),
                    None => {}
                }
            } else if reads.in_flight == 0 {
                return Ok(());
            }
            match reads.queue.wait_or_interrupt() {
                Ok(Some(completion)) => {
                    reads.in_flight -= 1;
                    if !supply.hand_over(reads.finish(completion)?) {
                        return Ok(());
                    }
                }
                Err(Interrupted) => {}
                Ok(None) => bail!("{}: the answers to {} requests are missing", reads.name, reads.in_flight),
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
